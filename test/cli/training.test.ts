// `train`, `retrain` and `eval` as users run them: on drawn digits in IDX files, from a new LeNet-5 to a pruned one.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { digitsDataset } from '../../src/data/digits/dataset.js';
import { idx } from '../data/helpers.js';
import { secateurJson as json, type Outcome, secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
const WEIGHTS = 430_500;
let data = '';
let model = '';

/** Drawn digits as a folder that looks like MNIST. */
function writeDigits(folder: string, split: 'train' | 'test', length: number): void {
  const raw = { mean: [0], deviation: [1] };
  const dataset = digitsDataset(split, { length, normalization: raw });
  const pixels = new Float32Array(length * 784);
  const labels = new BigInt64Array(length);
  dataset.read(
    Uint32Array.from({ length }, (_, index) => index),
    pixels,
    labels,
  );
  const prefix = split === 'train' ? 'train' : 't10k';
  const bytes = pixels.map((value) => Math.round(255 * value));
  writeFileSync(`${folder}/${prefix}-images-idx3-ubyte`, idx([length, 28, 28], bytes));
  writeFileSync(`${folder}/${prefix}-labels-idx1-ubyte`, idx([length], Array.from(labels, Number)));
}

beforeAll(async () => {
  data = temporary.path('data');
  model = temporary.path('lenet5.onnx');
  mkdirSync(data);
  writeDigits(data, 'train', 384);
  writeDigits(data, 'test', 250);
  const { code } = await secateur(['new', 'lenet5', '-o', model, '-q']);
  expect(code).toBe(0);
});

const common = () => ['--data', data, '--threads', '1'];

describe('train, retrain and eval', { timeout: 180_000 }, () => {
  it('train, prune by ADMM and measure, with the same numbers each time', async () => {
    const [trained, pruned] = [temporary.path('trained.onnx'), temporary.path('pruned.onnx')];
    const first = await json('train', model, ...common(), '-o', trained, '--epochs', '4', '--seed', '4');
    expect(first).toMatchObject({ method: 'train', scope: null, ratio: null, epochs: 4, seed: 4, sparsity: 0 });
    expect(first.before.accuracy).toBeLessThan(0.4);
    expect(first.after.accuracy).toBeGreaterThan(0.6);
    expect(first.tensors).toHaveLength(4);
    const measured = await json('eval', trained, ...common());
    expect(measured).toMatchObject({ task: 'classification', samples: 250, accuracy: first.after.accuracy });
    const options = [
      '--ratio',
      '0.95',
      '--iterations',
      '2',
      '--retrain-epochs',
      '1',
      '--report',
      temporary.path('r.json'),
    ];
    const second = await json('retrain', trained, ...common(), '-o', pruned, ...options);
    expect(second).toMatchObject({ method: 'admm', scope: 'global', ratio: 0.95, epochs: 3, before: first.after });
    expect(second.sparsity).toBe(Math.round(0.95 * WEIGHTS) / WEIGHTS);
    expect(second.history.iterations).toHaveLength(2);
    expect(JSON.parse(readFileSync(temporary.path('r.json'), 'utf8'))).toEqual(second);
    const { prunable } = await json('inspect', pruned);
    const zeros = prunable.reduce((sum: number, tensor: { zeros: number }) => sum + tensor.zeros, 0);
    expect(zeros).toBe(Math.round(0.95 * WEIGHTS));
    expect(readdirSync(temporary.path()).filter((name) => name.includes('checkpoint'))).toEqual([]);
  });

  it('prune by magnitude, layer by layer, in a table for people', async () => {
    const output = temporary.path('magnitude.onnx');
    const { code, stdout, stderr } = await secateur(
      [
        'retrain',
        model,
        ...common(),
        '-o',
        output,
        '-r',
        '0.9',
        '--method',
        'magnitude',
        '--scope',
        'layer',
        '--retrain-epochs',
        '1',
      ],
      { env: { COLUMNS: '80' } },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/conv1\.weight +20x1x5x5 +500 +50 +90\.00%/);
    expect(stdout).toContain('90.00% of the weights removed');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('go on after an interrupt with the result of a run that had none', async () => {
    const [whole, cut] = [temporary.path('whole.onnx'), temporary.path('cut.onnx')];
    const args = (output: string) => ['train', model, ...common(), '-o', output, '--epochs', '6', '--average', '0.9'];
    const expected = await json(...args(whole));
    let outcome: Outcome = { code: 0, stdout: '', stderr: '' };
    for (let attempt = 0; attempt < 5 && outcome.code === 0; attempt += 1) {
      rmSync(cut, { force: true });
      outcome = await interrupted(args(cut), cut);
    }
    expect(outcome.code).toBe(130);
    expect(outcome.stderr).toContain('--resume goes on with it');
    expect(existsSync(cut)).toBe(false);
    copyFileSync(`${cut}.checkpoint`, temporary.path('copy.checkpoint'));
    // Without --resume the interrupted run is not overwritten.
    const refused = await secateur(args(cut));
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('--resume goes on with it, or remove it');
    const resumed = await json(...args(cut), '--resume');
    expect({ ...resumed, seconds: 0 }).toEqual({ ...expected, seconds: 0 });
    expect(readFileSync(cut).equals(readFileSync(whole))).toBe(true);
  });
});

/** Interrupts when the first checkpoint is there. */
function interrupted(args: string[], output: string): Promise<Outcome> {
  return secateur(args, {
    during: (child) => {
      const poll = setInterval(() => {
        if (!existsSync(`${output}.checkpoint`)) return;
        clearInterval(poll);
        child.kill('SIGINT');
      }, 5);
      child.on('close', () => clearInterval(poll));
    },
  });
}

describe('what is wrong', () => {
  const cases: [string, () => string[], number, RegExp][] = [
    ['no data', () => ['train', model, '-o', 'x.onnx'], 2, /Expected --data WHERE/],
    ['no output', () => ['train', model, ...common()], 2, /Expected -o FILE/],
    ['no ratio', () => ['retrain', model, ...common(), '-o', temporary.path('x.onnx')], 2, /Expected --ratio NUMBER/],
    [
      'a folder that is not there',
      () => ['train', model, ...common(), '-o', temporary.path('no/x.onnx')],
      1,
      /Expected the folder/,
    ],
    [
      'an unknown loss output',
      () => ['eval', model, ...common(), '--loss-output', 'logit'],
      2,
      /one of the outputs "logits"/,
    ],
    ['an unknown method', () => ['retrain', model, ...common(), '--method', 'adm'], 2, /--method to be one of admm/],
    [
      'a wrong augmentation',
      () => ['train', model, ...common(), '-o', temporary.path('x.onnx'), '--augment', 'zoom'],
      2,
      /flip or crop:PIXELS/,
    ],
    [
      'a report over the model',
      () => ['train', model, ...common(), '-o', 'x.onnx', '--report', 'x.onnx'],
      2,
      /another file than that of -o/,
    ],
    [
      'an option of another method',
      () => [
        'retrain',
        model,
        ...common(),
        '-o',
        temporary.path('x.onnx'),
        '-r',
        '0.5',
        '--method',
        'magnitude',
        '--rho',
        '1',
      ],
      2,
      /--rho to be used with --method admm/,
    ],
    ['no model', () => ['eval', temporary.path('none.onnx'), ...common()], 1, /none\.onnx/],
  ];

  it.each(cases)('%s is one sentence', async (_, args, exitCode, sentence) => {
    const { code, stdout, stderr } = await secateur(args());
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toMatch(sentence);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(existsSync(temporary.path('x.onnx'))).toBe(false);
  });

  it('says that data were cut short', async () => {
    const cut = temporary.path('cut-data');
    mkdirSync(cut);
    for (const name of readdirSync(data)) {
      const bytes = readFileSync(`${data}/${name}`);
      writeFileSync(`${cut}/${name}`, name.startsWith('train-images') ? bytes.subarray(0, bytes.length - 100) : bytes);
    }
    const { code, stderr } = await secateur(['train', model, '--data', cut, '-o', temporary.path('x.onnx')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/train-images/);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
