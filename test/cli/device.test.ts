// `--device` as users give it: what is said without a GPU, and the bench and a pruning on the emulated one.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildEmulatedGpu, emulatedGpu, hasTools } from '../native/emulated-gpu.js';
import { secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
const bench = ['bench', 'select', '-n', '20000', '--repeats', '1', '-q'];
let model = '';

beforeAll(async () => {
  model = temporary.path('lenet5.onnx');
  expect((await secateur(['new', 'lenet5', '-o', model, '-q'])).code).toBe(0);
});

describe('without a GPU', () => {
  const env = { SECATEUR_CUDA_LIBRARY: '/nowhere/libsecateur_cuda.so' };

  it.each([
    ['bench select', () => bench],
    ['prune', () => ['prune', model, '-r', '0.5', '-o', temporary.path('none.onnx')]],
    ['train', () => ['train', model, '--data', 'digits', '-o', temporary.path('none.onnx')]],
    ['retrain', () => ['retrain', model, '-r', '0.5', '--data', 'digits', '-o', temporary.path('none.onnx')]],
  ])('%s --device cuda fails in one sentence', async (_, args) => {
    const { code, stdout, stderr } = await secateur([...args(), '--device', 'cuda'], { env });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^secateur: Expected device to be "auto" or "cpu", got "cuda": Expected the CUDA library to load, got ".*"; use the CPU\n$/,
    );
  });

  it('bench select --device auto measures on the CPU', async () => {
    const { code, stdout } = await secateur([...bench, '--no-peers', '--device', 'auto', '--json'], { env });
    expect(code).toBe(0);
    expect(JSON.parse(stdout).backend).not.toBe('cuda');
    expect(Object.keys(JSON.parse(stdout).peers)).toEqual(['std::nth_element']);
  });
});

describe.skipIf(!hasTools)('on the emulated GPU', () => {
  beforeAll(buildEmulatedGpu, 600_000);
  const env = { SECATEUR_CUDA_LIBRARY: emulatedGpu };

  it('bench select measures every distribution there, against a read and a copy', async () => {
    const options = ['--no-peers', '--device', 'cuda', '--distribution', 'all', '-r', '0.1', '-r', '0.9', '--json'];
    const { code, stdout } = await secateur([...bench, ...options], { env });
    expect(code).toBe(0);
    const results = JSON.parse(stdout);
    expect(results).toHaveLength(6);
    for (const result of results) {
      expect(result).toMatchObject({ elements: 20_000, backend: 'cuda', gpu: 'emulated GPU', peers: {} });
      const { floor, floorReadWrite, select, mask, selectAndMask, selectOne } = result.seconds;
      for (const seconds of Object.values(result.seconds)) expect(seconds).toBeGreaterThan(0);
      expect(result.selectToFloor).toBeCloseTo(select / floor, 9);
      expect(result.maskToFloor).toBeCloseTo(mask / floorReadWrite, 9);
      expect(result.selectAndMaskToFloor).toBeCloseTo(selectAndMask / (floor + floorReadWrite), 9);
      expect(result.sweepToOne).toBeCloseTo(select / selectOne, 9);
    }
  });

  it('bench select says which peers are left out, and fits the terminal', async () => {
    const args = ['bench', 'select', '-n', '5000', '--repeats', '1', '--device', 'cuda', '--dtype', 'float16'];
    const { code, stdout, stderr } = await secateur(args, { env: { ...env, COLUMNS: '60', PATH: '/nowhere' } });
    expect(code).toBe(0);
    for (const peer of ['torch.kthvalue', 'torch.topk', 'torch.sort']) {
      expect(stderr).toContain(`peer ${peer} on cuda is left out: no python3 on PATH has torch`);
    }
    expect(stdout).toContain('emulated GPU');
    for (const line of stdout.split('\n')) expect(Array.from(line).length).toBeLessThanOrEqual(60);
  });

  it('bench select leaves float64 to the CPU', async () => {
    const { code, stderr } = await secateur([...bench, '--device', 'cuda', '--dtype', 'float64'], { env });
    expect(code).toBe(1);
    expect(stderr).toContain('float64 weights are for the CPU');
  });

  it('prune streams a model through a GPU that it does not fit into', async () => {
    const pruned = async (device: string, memory: string) => {
      const output = temporary.path(`${device}.onnx`);
      const args = ['prune', model, '-r', '0.9', '-o', output, '--device', device, '--json'];
      const { code, stdout } = await secateur(args, { env: { ...env, SECATEUR_EMULATED_BYTES: memory } });
      expect(code).toBe(0);
      expect(JSON.parse(stdout).device).toBe(device);
      return readFileSync(output);
    };
    // 430,500 weights are 1.7 MB.
    expect((await pruned('cuda', '900000')).equals(await pruned('cpu', '900000'))).toBe(true);
  });
});
