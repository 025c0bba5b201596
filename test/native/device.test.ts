// GPUs without one: what is said where there is none, and the whole way through the addon on the emulated GPU
// (native/cuda/emulation), built here by CMake from the kernels' own files. That a real one answers is not tested here.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { applySelection, DeviceTensors, packMasks, prune, selectRatios } from '../../src/index.js';
import { chooseDevice, probeDevice } from '../../src/native/device.js';
import { modelWith, raw, saved, temporaryFolder } from '../onnx/helpers.js';
import { buildEmulatedGpu, emulatedGpu, hasTools, useEmulatedGpu as use } from './emulated-gpu.js';

const values = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i * i));

afterEach(() => vi.unstubAllEnvs());

function model(): string {
  const initializer = [{ name: 'w', dims: [200n, 100n], dataType: 1, rawData: raw([...values(20_000)]) }];
  return saved(modelWith({ initializer, node: [{ opType: 'MatMul', input: ['x', 'w'], output: ['y'] }] }));
}

async function pruned(device: 'auto' | 'cpu' | 'cuda') {
  const input = model();
  const output = path.join(path.dirname(input), 'pruned.onnx');
  const report = await prune(input, { output, ratio: 0.9, device });
  return { device: report.device, bytes: readFileSync(output) };
}

describe('without a GPU', () => {
  it('says why in one sentence, refuses cuda and falls back with auto', async () => {
    vi.stubEnv('SECATEUR_CUDA_LIBRARY', path.join(temporaryFolder(), 'none.so'));
    const probe = probeDevice();
    expect(probe).toMatchObject({ available: false });
    expect(probe.available ? '' : probe.reason).toMatch(/^Expected the CUDA library to load, got ".*"; use the CPU$/);
    expect(chooseDevice('auto', undefined)).toBeUndefined();
    expect((await pruned('auto')).device).toBe('cpu');
    await expect(pruned('cuda')).rejects.toMatchObject({ code: 'CUDA' });
    await expect(DeviceTensors.upload([values(4)])).rejects.toMatchObject({ code: 'CUDA' });
  });

  it.skipIf(!hasTools)('survives a library that crashes', () => {
    const library = path.join(temporaryFolder(), 'crash.so');
    const source = `${library}.cc`;
    writeFileSync(source, '__attribute__((constructor)) static void crash() { __builtin_trap(); }');
    execFileSync('g++', ['-shared', '-fPIC', '-o', library, source]);
    vi.stubEnv('SECATEUR_CUDA_LIBRARY', library);
    const probe = probeDevice();
    expect(probe.available ? '' : probe.reason).toMatch(/^Expected the CUDA library and its driver to answer, got SIG/);
  });
});

describe.skipIf(!hasTools)('on the emulated GPU', () => {
  beforeAll(buildEmulatedGpu, 600_000);

  it('prunes to the same bytes as on the CPU', async () => {
    use();
    const cpu = await pruned('cpu');
    expect(cpu.device).toBe('cpu');
    for (const device of ['cuda', 'auto'] as const) {
      const there = await pruned(device);
      expect(there.device).toBe('cuda');
      expect(there.bytes.equals(cpu.bytes)).toBe(true);
    }
  });

  it('leaves groups and float64 to the CPU', async () => {
    use();
    expect(chooseDevice('auto', 'a reason')).toBeUndefined();
    const input = model();
    const options = { dryRun: true, granularity: '2:4', device: 'cuda' } as const;
    await expect(prune(input, options)).rejects.toMatchObject({ code: 'CUDA' });
    await expect(DeviceTensors.upload([Float64Array.of(1)])).rejects.toMatchObject({
      code: 'CUDA',
      message: expect.stringContaining('tensors[0] is float64'),
    });
  });

  it('keeps tensors there, selects, masks and gives them back as the CPU would', async () => {
    use();
    const there = [values(30_000), values(9000)];
    const here = there.map((array) => array.slice());
    const tensors = await DeviceTensors.upload(there);
    const [first, second] = await tensors.selectRatios({ ratios: [0.5, 0.93] });
    const [, expected] = await selectRatios(here, { ratios: [0.5, 0.93] });
    if (second === undefined || expected === undefined || first === undefined) throw new Error('a ratio is unanswered');
    expect(first.removed).toBe(19_500);
    expect({ ...second, handle: null }).toEqual({ ...expected, handle: null });
    expect(await tensors.apply(second)).toEqual(await applySelection(expected, here));
    await tensors.download(there);
    expect(there).toEqual(here);
    await expect(tensors.download([values(30_000)])).rejects.toThrow('as many tensors');
    tensors.dispose();
    await expect(tensors.selectRatios({ ratios: [0.5] })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('gives masks as bits and masked copies, and keeps the weights as they are', async () => {
    use();
    const there = [values(30_001), values(77), new Float32Array(0)];
    const here = there.map((array) => array.slice());
    using tensors = await DeviceTensors.upload(there);
    const [selection] = await tensors.selectRatios({ ratios: [0.8] });
    const [expected] = await selectRatios(here, { ratios: [0.8] });
    if (selection === undefined || expected === undefined) throw new Error('a ratio is unanswered');
    const bits = await tensors.packMasks(selection);
    expect(bits).toEqual(await packMasks(expected, here));
    expect(bits.map(({ length }) => length)).toEqual([3751, 10, 0]);
    const copies = there.map((array) => new Float32Array(array.length));
    expect(await tensors.downloadMasked(selection, copies)).toEqual(await applySelection(expected, here));
    expect(copies).toEqual(here);
    await tensors.download(copies);
    expect(copies).toEqual(there);
    await expect(tensors.downloadMasked(selection, [values(3)])).rejects.toThrow('as many tensors');
  });

  it('names the tensor of a weight that is not finite', async () => {
    use();
    const bad = values(20_000);
    bad[12_345] = Number.NaN;
    using tensors = await DeviceTensors.upload([values(10), bad]);
    await expect(tensors.selectRatios({ ratios: [0.5] })).rejects.toMatchObject({
      code: 'NONFINITE_WEIGHT',
      fields: { tensor: 'tensor 1', index: 12_345 },
    });
  });

  it('says that there is no GPU where the library finds none', () => {
    const copy = path.join(temporaryFolder(), 'library.so');
    writeFileSync(copy, readFileSync(emulatedGpu));
    vi.stubEnv('SECATEUR_CUDA_LIBRARY', copy);
    vi.stubEnv('SECATEUR_EMULATED_GPUS', '0');
    expect(probeDevice()).toEqual({
      available: false,
      reason: 'Expected a GPU and its driver, got "no CUDA-capable device is detected"; use the CPU',
    });
  });
});
