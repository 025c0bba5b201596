// `new`, `doctor` and `bench`: their JSON contracts on small work. Durations are looked at only for being there.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { secateurJson as json, secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();

describe('new', () => {
  it('writes a model that inspect reads; the seed decides its bytes', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => temporary.path(`${name}.onnx`)) as [string, string, string];
    const made = await json('new', 'lenet5', '-o', a, '--seed', '5');
    expect(made).toMatchObject({ model: 'lenet5', output: a, parameters: 431_080, metadata: { seed: '5' } });
    await json('new', 'lenet5', '-o', b, '--seed', '5');
    await json('new', 'lenet5', '-o', c, '--seed', '6');
    expect(readFileSync(a).equals(readFileSync(b))).toBe(true);
    expect(readFileSync(a).equals(readFileSync(c))).toBe(false);
    const { prunable, parameters } = await json('inspect', a);
    expect(parameters).toBe(made.parameters);
    expect(prunable.reduce((sum: number, tensor: { weights: number }) => sum + tensor.weights, 0)).toBe(430_500);
  });

  it('passes the options of an architecture on', async () => {
    const output = temporary.path('resnet20.onnx');
    const { metadata } = await json('new', 'resnet56', '-o', output, '--depth', '20', '--classes', '7');
    expect(metadata).toMatchObject({ architecture: 'resnet20', classes: '7' });
  });
});

describe('doctor', () => {
  it('finds this installation in order', async () => {
    const diagnosis = await json('doctor');
    expect(diagnosis).toMatchObject({ node: process.version, problems: [] });
    const { cuda } = diagnosis;
    expect(cuda.available ? cuda.name : cuda.reason).toMatch(/\w/);
    expect(diagnosis.addon).toMatchObject({ error: null });
    expect(diagnosis.addon.backends).toContain(diagnosis.addon.backend);
    expect(diagnosis.addon.backends).toContain('portable');
  });

  it('obeys SECATEUR_FORCE_BACKEND, and fails on an unknown one', async () => {
    const env = { SECATEUR_FORCE_BACKEND: 'portable' };
    const { stdout } = await secateur(['doctor', '--json'], { env });
    expect(JSON.parse(stdout).addon.backend).toBe('portable');
    const wrong = await secateur(['doctor', '--json'], { env: { SECATEUR_FORCE_BACKEND: 'mmx' } });
    expect(wrong.code).toBe(1);
    expect(JSON.parse(wrong.stdout).problems).toHaveLength(1);
  });

  it('fits the terminal', async () => {
    const { code, stdout } = await secateur(['doctor'], { env: { COLUMNS: '80' } });
    expect(code).toBe(0);
    expect(stdout).toContain('All that is needed works.');
  });
});

describe('bench select', () => {
  it('prints an object for one run', async () => {
    const result = await json('bench', 'select', '-n', '20000', '--repeats', '1', '--no-peers', '-r', '0.5');
    expect(result).toMatchObject({ elements: 20_000, dtype: 'float32', distribution: 'normal', ratios: [0.5] });
    const { floor, floorReadWrite, select, selectAndMask } = result.seconds;
    expect(result.selectToFloor).toBeCloseTo(select / floor, 9);
    expect(result.selectAndMaskToFloor).toBeCloseTo(selectAndMask / (floor + floorReadWrite), 9);
    expect(Object.keys(result.peers)).toEqual(['std::nth_element']);
    expect(result.peerVersions).toEqual({});
  });

  it('prints an array for several, and the cost of a sweep', async () => {
    const args = ['-n', '5000', '--repeats', '1', '--no-peers', '--dtype', 'float16', '--dtype', 'float64'];
    const results = await json('bench', 'select', ...args, '--distribution', 'all', '-r', '0.1', '-r', '0.9');
    expect(results).toHaveLength(12);
    for (const result of results) {
      expect(result.sweepToOne).toBeCloseTo(result.seconds.select / result.seconds.selectOne, 9);
    }
  });

  it('fits the terminal', async () => {
    const args = ['bench', 'select', '-n', '5000', '--repeats', '1', '--no-peers', '--dtype', 'all'];
    const { code, stdout } = await secateur(args, { env: { COLUMNS: '60' } });
    expect(code).toBe(0);
    for (const line of stdout.split('\n')) expect(Array.from(line).length).toBeLessThanOrEqual(60);
  });
});

describe('bench train', () => {
  it('takes steps, and says what part of them the runtime had', async () => {
    const args = ['--batch', '4', '--rounds', '2', '--steps', '3', '--elements', '50000', '--no-peers'];
    const result = await json('bench', 'train', ...args, '--threads', '1');
    expect(result).toMatchObject({ model: 'lenet5', batch: 4, threads: 1, peers: {}, rateToTorch: null });
    expect(result.samplesPerSecond).toBeCloseTo(4000 / result.stepMs, 6);
    expect(result.outsideRuntimeShare).toBeGreaterThan(0);
    expect(result.outsideRuntimeShare).toBeLessThan(1);
    const { gbPerSecond, copyGbPerSecond, toCopy } = result.optimizer;
    expect(toCopy).toBeCloseTo(gbPerSecond / copyGbPerSecond, 9);
  });

  it('takes steps of a detector', async () => {
    const args = ['--model', 'yolov4-tiny', '--size', '32', '--batch', '2', '--rounds', '1', '--steps', '1'];
    const more = ['--elements', '1000', '--no-peers', '--threads', '1'];
    const result = await json('bench', 'train', ...args, ...more);
    expect(result).toMatchObject({ model: 'yolov4-tiny', size: 32, batch: 2, peers: {}, rateToTorch: null });
    expect(result.stepMs).toBeGreaterThan(0);
  });

  it('refuses a network that it does not know', async () => {
    const { code, stderr } = await secateur(['bench', 'train', '--model', 'resnet57']);
    expect(code).toBe(2);
    expect(stderr).toContain('--model');
  });
});

describe('bench prune', () => {
  it('measures, and removes what it made', async () => {
    const before = readdirSync(temporary.path('.'));
    const result = await json('bench', 'prune', '--bytes', '2MB', '--dir', temporary.path('.'), '--repeats', '2');
    expect(result.bytes).toBeGreaterThan(1_900_000);
    expect(result.pruneToCopy).toBeCloseTo(result.seconds.prune / result.seconds.copy, 9);
    if (process.platform === 'linux') expect(result.rssAnonBytes).toBeGreaterThan(1e6);
    else expect(result.rssAnonBytes).toBeNull();
    expect(readdirSync(temporary.path('.'))).toEqual(before);
  });

  it('refuses a folder that is not there, and one without room', async () => {
    const missing = await secateur(['bench', 'prune', '--dir', temporary.path('missing')]);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/^secateur: Expected --dir to be an existing folder, got "/);
    const full = await secateur(['bench', 'prune', '--bytes', '1TB', '--dir', temporary.path('.')]);
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(/^secateur: Expected 2\.02 TB free in /);
  });
});
