// `sweep` and `prune --recalibrate-bn` as users run them: tables, files, going on after an interrupt, and wrong usage.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { openDataset } from '../../src/index.js';
import { secateur, secateurJson, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
let data = '';
let model = '';

/** CIFAR-10's binary format: a label, then 3072 bytes. Classes differ in brightness. */
function cifarBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length * 3073);
  for (let index = 0; index < length; index++) {
    bytes[index * 3073] = index % 10;
    for (let at = 1; at < 3073; at++)
      bytes[index * 3073 + at] = (index % 10) * 20 + ((at * 7919 + index * 104729) % 50);
  }
  return bytes;
}

beforeAll(async () => {
  [data, model] = [temporary.path('cifar'), temporary.path('resnet8.onnx')];
  mkdirSync(data);
  writeFileSync(`${data}/data_batch_1.bin`, cifarBytes(96));
  writeFileSync(`${data}/test_batch.bin`, cifarBytes(40));
  expect((await openDataset(data, 'train')).length).toBe(96);
  expect((await secateur(['new', 'resnet56', '--depth', '8', '-o', model, '-q'])).code).toBe(0);
});

const json = (...args: string[]) => secateurJson(...args, '-q');

describe('sweep', { timeout: 120_000 }, () => {
  it('shows what layers keep without data, of one model and of several', async () => {
    const one = await secateur(['sweep', model, '--ratios', '0.1:0.3:0.1,0.9']);
    expect(one).toMatchObject({ code: 0, stderr: '' });
    expect(one.stdout).toMatch(/^resnet8: kept of every layer, magnitude\nlayer +10% +20% +30% +90%\n/);
    expect(one.stdout).toMatch(/\nfc\.weight +\d\d\.\d\d%/);
    const other = temporary.path('resnet14.onnx');
    await secateur(['new', 'resnet56', '--depth', '14', '-o', other, '-q']);
    const folder = temporary.path('depths');
    const report = await json('sweep', model, other, '-r', '0.5', '-o', folder);
    expect(report).toMatchObject({ data: null, models: [{ name: 'resnet8' }, { name: 'resnet14' }] });
    expect(readdirSync(folder).sort()).toEqual(['layers.csv', 'layers.svg', 'points.csv', 'report.json']);
    expect(readFileSync(`${folder}/layers.svg`, 'utf8')).toContain('resnet8, resnet14: weights kept in every layer');
  });

  it('measures, goes on after an interrupt, and adds what is asked for later', async () => {
    const folder = temporary.path('measured');
    const common = ['--data', data, '--threads', '1', '-o', folder];
    const oneShot = await json('sweep', model, '--ratios', '0.5,0.9', '--recalibrate-bn', ...common);
    const [report] = oneShot.models;
    expect(report.dense.metrics).toEqual({ accuracy: expect.any(Number), loss: expect.any(Number) });
    expect(report.points.map((point: { recalibrated: boolean }) => point.recalibrated)).toEqual([
      false,
      false,
      true,
      true,
    ]);
    expect(report.points[0].metrics).not.toEqual(report.points[2].metrics);
    const augmented = await secateur([
      'sweep',
      model,
      '-r',
      '0.5',
      '--recalibrate-bn',
      '--bn-augment',
      'flip',
      ...common,
    ]);
    expect(augmented).toMatchObject({ code: 2, stdout: '' });
    expect(augmented.stderr).toContain('was made with other ones: recalibrationAugment not given, not ["flip"]');
    const training = ['--retrain-epochs', '0,2', '--batch', '8', '--lr', '0.001'];
    const args = ['sweep', model, '--ratios', '0.5,0.9', ...common, ...training];
    const interrupted = await secateur(args, {
      during: (child) => {
        const timer = setInterval(() => {
          // The first epoch of the first trained point is done.
          if (!existsSync(`${folder}/resnet8/magnitude-global-2-epochs-0.5.checkpoint`)) return;
          clearInterval(timer);
          child.kill('SIGINT');
        }, 20);
        child.on('close', () => clearInterval(timer));
      },
    });
    expect(interrupted.code).toBe(130);
    expect(interrupted.stderr).toContain('holds the finished points; the same command goes on with the others');
    const resumed = await secateur(args);
    expect(resumed.code).toBe(0);
    expect(resumed.stderr).toMatch(/resnet8 4 of 4: magnitude, global, 2 epochs, 90%: accuracy \d+\.\d\d% \(/);
    expect(resumed.stderr).not.toContain('one-shot');
    expect(resumed.stdout).toMatch(/removed +one-shot +2 epochs\n +50%/);
    const files = ['accuracy.svg', 'layers.csv', 'layers.svg', 'points.csv', 'report.json', 'resnet8'];
    expect(readdirSync(folder).sort()).toEqual(files);
    const other = await secateur([...args, '--lr', '0.01']);
    expect(other).toMatchObject({ code: 2, stdout: '' });
    expect(other.stderr).toContain('was made with other ones: training');
  });

  const pictures = '../shared/data/coco128';
  it.skipIf(!existsSync(pictures))('measures detectors by AP50', async () => {
    const detector = temporary.path('tiny.onnx');
    await secateur(['new', 'yolov4', '--tiny', '--size', '64', '-o', detector, '-q']);
    const args = ['-r', '0.5', '--task', 'detection', '--data', pictures, '--threads', '1'];
    const { data: name, models } = await json('sweep', detector, ...args);
    expect(name).toContain('coco128');
    const { ap50, ap } = models[0].points[0].metrics;
    expect(Object.keys(models[0].dense.metrics)).toEqual(['ap50', 'ap']);
    expect(ap50).toBeGreaterThanOrEqual(ap);
  });

  it.each([
    [['--data', 'digits'], 'Expected --ratios LIST'],
    [['-r', '0.9:0.1:0.1'], 'Expected --ratios to be FROM:TO:STEP with at most 1000 steps, such as 0.1:0.9:0.1'],
    [['-r', '0.1:90:10'], '90% is written 0.9'],
    [['-r', '0.5', '--method', 'magnitude,magnitude'], 'Expected --method without repeats'],
    [['-r', '0.5', '--scope', 'globl'], 'Expected --scope to be one of global, layer, got "globl"'],
    [['-r', '0.5', '--method', 'admm'], 'Expected --data WHERE, the data to measure with, and to train on'],
    [['-r', '0.5', '--lr', '1'], 'Expected --lr to be used with --method admm or --retrain-epochs'],
    [['-r', '0.5', '--data', 'digits', '--rho', '1'], 'Expected --rho to be used with --method admm'],
    [['-r', '0.5', '--recalibrate-bn'], 'Expected --data WHERE, the training data that --recalibrate-bn takes'],
    [['-r', '0.5', '--bn-batches', '3'], 'Expected --bn-batches to be used with --recalibrate-bn'],
    [['-r', '0.5', '--bn-augment', 'flip'], 'Expected --bn-augment to be used with --recalibrate-bn'],
  ])('refuses %j', async (args, sentence) => {
    const { code, stdout, stderr } = await secateur(['sweep', model, ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(sentence);
  });
});

describe('prune --recalibrate-bn', { timeout: 120_000 }, () => {
  it('writes new statistics, and packs them', async () => {
    const [plain, output, packed] = ['plain', 'recalibrated', 'packed'].map((name) => temporary.path(`${name}.onnx`));
    const prune = (file: string | undefined, ...args: string[]) =>
      json('prune', model, '-r', '0.7', '-o', String(file), '--threads', '1', ...args);
    await prune(plain);
    const recalibrate = ['--recalibrate-bn', '--data', data, '--bn-batches', '2'];
    const report = await prune(output, ...recalibrate);
    expect(report).toMatchObject({ output, recalibrated: { nodes: 7, batches: 1, samples: 96 } });
    const measure = (file: string | undefined) => json('eval', String(file), '--data', data, '--threads', '1');
    expect((await measure(output)).loss).not.toBe((await measure(plain)).loss);
    const augmented = temporary.path('augmented.onnx');
    await prune(augmented, ...recalibrate, '--bn-augment', 'crop:4', '--bn-augment', 'flip');
    expect((await measure(augmented)).loss).not.toBe((await measure(output)).loss);
    const both = await prune(packed, ...recalibrate, '--format', 'packed');
    expect(both).toMatchObject({ output: packed, recalibrated: { nodes: 7 }, packed: { model, output: packed } });
    expect((await measure(packed)).loss).toBeCloseTo((await measure(output)).loss, 4);
    expect(readdirSync(temporary.path()).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('refuses what it cannot do, and leaves nothing', async () => {
    const lenet = temporary.path('lenet.onnx');
    await secateur(['new', 'lenet5', '-o', lenet, '-q']);
    const output = temporary.path('none.onnx');
    const folded = await secateur(['prune', lenet, '-r', '0.5', '-o', output, '--recalibrate-bn', '--data', 'digits']);
    expect(folded.code).toBe(1);
    expect(folded.stderr).toContain(
      'Expected a model with BatchNormalization whose statistics are initializers, got none',
    );
    expect(existsSync(output)).toBe(false);
    const wrong = async (...args: string[]) => (await secateur(['prune', lenet, '-r', '0.5', ...args])).stderr;
    expect(await wrong('--data', 'digits', '-o', output)).toContain('Expected --recalibrate-bn with --data');
    expect(await wrong('--dry-run', '--recalibrate-bn')).toContain('Expected no --recalibrate-bn with --dry-run');
    expect(await wrong('--dry-run', '--bn-batches', '3')).toContain('--bn-batches to be used with --recalibrate-bn');
  });
});
