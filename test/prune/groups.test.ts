// Channels, blocks and n:m from file to file, against plain loops over the weights before and after.
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { newModel } from '../../models/index.js';
import { elementType } from '../../src/onnx/dtypes.js';
import { readModel } from '../../src/onnx/load.js';
import { materialize, readTensor } from '../../src/onnx/payload.js';
import { AttributeProtoSchema, ModelProtoSchema, ValueInfoProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import type { Granularity } from '../../src/prune/granularity.js';
import { prune } from '../../src/prune/prune.js';
import { fillNormal } from '../models/support.js';
import { modelWith, saved, temporaryFolder } from '../onnx/helpers.js';
import { weightsOf } from './reference.js';

const output = () => join(temporaryFolder(), 'out.onnx');

/** Elements of a tensor of a file, whatever it is used for. */
function elements(path: string, name: string): number[] {
  const loaded = readModel(path);
  const tensor = loaded.model.graph?.initializer.find((candidate) => candidate.name === name);
  if (tensor === undefined) throw new Error(`no ${name} in ${path}`);
  return [...new Float32Array(readTensor(loaded, tensor).slice().buffer)];
}

const zeros = (values: readonly number[]) => values.filter((value) => value === 0).length;

/** Values of different magnitudes, none of them zero. */
function values(count: number, seed: number): number[] {
  return Array.from({ length: count }, (_, index) => (((index + seed * 1000) * 7919) % 10_007) / 512 - 9.77);
}

const rawOf = (some: readonly number[]) => new Uint8Array(Float32Array.from(some).buffer);

/** A Conv, a Gemm with transB and a MatMul, one after the other in name only. */
function threeLayers(): string {
  const transB = create(AttributeProtoSchema, { name: 'transB', type: 2, i: 1n });
  const initializer = [
    { name: 'conv', dims: [6n, 8n, 3n, 2n], dataType: 1, rawData: rawOf(values(288, 1)) },
    { name: 'gemm', dims: [10n, 16n], dataType: 1, rawData: rawOf(values(160, 2)) },
    { name: 'matmul', dims: [24n, 7n], dataType: 1, rawData: rawOf(values(168, 3)) },
  ];
  return saved(
    modelWith({
      initializer,
      node: [
        { opType: 'Conv', input: ['x', 'conv'], output: ['a'] },
        { opType: 'Gemm', input: ['b', 'gemm'], output: ['c'], attribute: [transB] },
        { opType: 'MatMul', input: ['d', 'matmul'], output: ['y'] },
      ],
    }),
  );
}

const range = (count: number) => Array.from({ length: count }, (_, index) => index);

/** Row, input and kernel position of each element, by the meaning of each weight's axes. */
function placeOf(name: string, index: number): { output: number; input: number; kernel: number } {
  if (name === 'matmul') return { output: index % 7, input: Math.floor(index / 7), kernel: 0 };
  const [inputs, kernel] = name === 'conv' ? [8, 6] : [16, 1];
  const column = Math.floor(index / kernel);
  return { output: Math.floor(column / inputs), input: column % inputs, kernel: index % kernel };
}

/** The members of each group of `of` along the input dimension, as places in the tensor. */
function inputGroups(name: string, count: number, of: number): number[][] {
  const groups = new Map<string, number[]>();
  for (const index of range(count)) {
    const { output, input, kernel } = placeOf(name, index);
    const group = `${output} ${kernel} ${Math.floor(input / of)}`;
    groups.set(group, [...(groups.get(group) ?? []), index]);
  }
  return [...groups.values()];
}

describe('n:m', () => {
  test.each<[number, number]>([
    [2, 4],
    [4, 8],
    [1, 2],
    [3, 4],
  ])('%i:%i keeps the largest of every group along the inputs', async (keep, of) => {
    const path = threeLayers();
    const before = weightsOf(path);
    const out = output();
    const report = await prune(path, { output: out, granularity: `${keep}:${of}` });
    const after = weightsOf(out);
    for (const [name, old] of before) {
      const fresh = after.get(name) ?? [];
      for (const group of inputGroups(name, old.length, of)) {
        expect(group).toHaveLength(of);
        const ranked = group.toSorted((a, b) => Math.abs(old[b] ?? 0) - Math.abs(old[a] ?? 0) || a - b);
        const kept = new Set(ranked.slice(0, keep));
        for (const place of group) expect(fresh[place]).toBe(kept.has(place) ? old[place] : 0);
      }
    }
    const removed = (616 * (of - keep)) / of;
    expect(report).toMatchObject({ granularity: `${keep}:${of}`, ratio: (of - keep) / of, weights: 616, removed });
    expect(report).toMatchObject({ threshold: null, groups: { all: 616 / of, removed: null }, following: [] });
  });

  test('a tensor whose inputs the groups do not divide is left as it is, and named', async () => {
    const path = threeLayers();
    const out = output();
    const report = await prune(path, { output: out, granularity: '8:16' });
    expect(report.tensors.map(({ name }) => name)).toEqual(['gemm']);
    expect(report.skipped).toEqual([
      { name: 'conv', reason: 'its inputs (8) are no multiple of 16' },
      { name: 'matmul', reason: 'its inputs (24) are no multiple of 16' },
    ]);
    expect(weightsOf(out).get('conv')).toEqual(weightsOf(path).get('conv'));
  });

  test('where none is divided, nothing is prunable', async () => {
    await expect(prune(threeLayers(), { output: output(), granularity: '16:32' })).rejects.toMatchObject({
      code: 'NOTHING_PRUNABLE',
    });
  });

  test('has its own ratio', async () => {
    const path = threeLayers();
    const report = await prune(path, { output: output(), granularity: '2:4', ratio: 0.5 });
    expect(report.ratio).toBe(0.5);
    await expect(prune(path, { output: output(), granularity: '2:4', ratio: 0.6 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      fields: { option: 'ratio' },
    });
  });
});

describe('blocks', () => {
  /** The block of each element: R outputs by C inputs and kernel positions, the last ones ragged. */
  function blockOf(name: string, index: number, [rows, columns]: [number, number]): string {
    const { output, input, kernel } = placeOf(name, index);
    const column = name === 'conv' ? input * 6 + kernel : input;
    return `${name} ${Math.floor(output / rows)} ${Math.floor(column / columns)}`;
  }

  interface Block {
    name: string;
    squares: number;
    weights: number;
  }

  function blocksOf(weights: Map<string, number[]>, size: [number, number]): Block[] {
    const blocks = new Map<string, Block>();
    for (const [name, some] of weights) {
      for (const [index, value] of some.entries()) {
        const key = blockOf(name, index, size);
        const { squares, weights: count } = blocks.get(key) ?? { squares: 0, weights: 0 };
        blocks.set(key, { name: key, squares: squares + value * value, weights: count + 1 });
      }
    }
    return [...blocks.values()];
  }

  test.each<[number, number, number]>([
    [4, 4, 0.5],
    [2, 8, 0.8],
    [1, 1, 0.3],
    [5, 7, 0.6],
  ])('of %ix%i go by their mean square, %d of the weights at most', async (rows, columns, ratio) => {
    const path = threeLayers();
    const before = weightsOf(path);
    const blocks = blocksOf(before, [rows, columns]);
    const gone = new Set<string>();
    let removed = 0;
    for (const { name, weights } of blocks.toSorted((a, b) => a.squares / a.weights - b.squares / b.weights)) {
      if (removed + weights > Math.round(ratio * 616)) break;
      removed += weights;
      gone.add(name);
    }
    const out = output();
    const report = await prune(path, { output: out, granularity: `block:${rows}x${columns}`, ratio });
    expect(report).toMatchObject({ removed, groups: { all: blocks.length, removed: gone.size } });
    for (const [name, some] of weightsOf(out)) {
      const expected = (before.get(name) ?? []).map((value, index) =>
        gone.has(blockOf(name, index, [rows, columns])) ? 0 : value,
      );
      expect(some).toEqual(expected);
    }
  });

  test('layer by layer', async () => {
    const report = await prune(threeLayers(), {
      output: output(),
      granularity: 'block:2x2',
      ratio: 0.5,
      scope: 'layer',
    });
    for (const { weights, removed } of report.tensors) {
      expect(removed).toBeLessThanOrEqual(weights / 2);
      expect(removed).toBeGreaterThan(weights / 2 - 4);
    }
    expect(report.threshold).toBeNull();
  });

  test('blocks of one weight are the granularity of weights', async () => {
    const path = threeLayers();
    const [blocks, weights] = [output(), output()];
    const grouped = await prune(path, { output: blocks, granularity: 'block:1x1', ratio: 0.7 });
    const plain = await prune(path, { output: weights, ratio: 0.7 });
    expect(weightsOf(blocks)).toEqual(weightsOf(weights));
    expect(grouped.threshold).toBe(plain.threshold);
  });
});

/** All values of a model at channels whose rows are zero, after running it on noise. */
async function valuesOf(path: string, names: readonly string[], dims: number[]): Promise<Map<string, Tensor>> {
  const loaded = readModel(path);
  materialize(loaded);
  const { graph } = loaded.model;
  if (graph === undefined) throw new Error('no graph');
  const known = new Set(graph.output.map(({ name }) => name));
  for (const name of names) if (!known.has(name)) graph.output.push(create(ValueInfoProtoSchema, { name }));
  const session = await InferenceSession.create(toBinary(ModelProtoSchema, loaded.model));
  const noise = new Float32Array(dims.reduce((product, dim) => product * dim, 1));
  fillNormal(noise, { seed: 3, stream: 1, std: 1 });
  const result = await session.run({ input: new Tensor('float32', noise, dims) });
  await session.release();
  return new Map(Object.entries(result));
}

/** Zeros at every place of a channel. */
function channelIsZero({ data, dims }: Tensor, channel: number): boolean {
  const [batch = 1, channels = 1, ...spatial] = dims;
  const size = spatial.reduce((product, dim) => product * dim, 1);
  const numbers = data as Float32Array;
  return Array.from({ length: batch }, (_, n) => (n * channels + channel) * size).every((start) =>
    numbers.subarray(start, start + size).every((value) => value === 0),
  );
}

describe('channels', () => {
  test.each<[string, Parameters<typeof newModel>, number[]]>([
    ['ResNet-20', ['resnet56', { depth: 20, seed: 5 }, fillNormal], [1, 3, 32, 32]],
    ['YOLOv4-tiny', ['yolov4', { tiny: true, size: 64, seed: 5 }, fillNormal], [1, 3, 64, 64]],
  ])('of %s are zero through and through, with exact counts', async (_, [name, options, fill], dims) => {
    const path = saved(newModel(name, options, fill));
    const out = output();
    const report = await prune(path, { output: out, granularity: 'channel', ratio: 0.5 });
    const size = (shape: number[]) => shape.slice(1).reduce((product, dim) => product * dim, 1);
    let removed = 0;
    const dead: { node: string; channel: number }[] = [];
    for (const { name: tensor, shape, removedGroups, groups } of report.tensors) {
      const weights = elements(out, tensor);
      const rows = Array.from({ length: shape[0] ?? 0 }, (_, row) =>
        weights.slice(row * size(shape), (row + 1) * size(shape)),
      );
      const zeroRows = rows.flatMap((row, index) => (zeros(row) === row.length ? [index] : []));
      expect([groups, removedGroups]).toEqual([shape[0], zeroRows.length]);
      expect(zeroRows.length).toBeLessThan(rows.length);
      removed += zeroRows.length * size(shape);
      for (const channel of zeroRows) dead.push({ node: tensor.replace(/\.weight$/, '.norm'), channel });
    }
    expect(report.removed).toBe(removed);
    const budget = Math.round(0.5 * report.weights);
    expect(removed).toBeLessThanOrEqual(budget);
    expect(removed).toBeGreaterThan(0.95 * budget);
    // With scale and offset gone, a dead channel is zero behind its normalisation.
    const made = await valuesOf(out, [...new Set(dead.map(({ node }) => node))], dims);
    for (const { node, channel } of dead) {
      const value = made.get(node);
      expect([node, channel, value !== undefined && channelIsZero(value, channel)]).toEqual([node, channel, true]);
    }
    const scaled = report.following.filter(({ name: vector }) => vector.endsWith('.norm.scale'));
    expect(scaled.reduce((sum, { zeroed }) => sum + zeroed, 0)).toBe(dead.length);
  });

  test('of a residual stream go together', async () => {
    const path = saved(newModel('resnet56', { depth: 20, seed: 5 }, fillNormal));
    const out = output();
    await prune(path, { output: out, granularity: 'channel', ratio: 0.6 });
    const deadRows = (name: string, size: number) => {
      const weights = elements(out, name);
      return Array.from({ length: weights.length / size }, (_, row) => row).filter(
        (row) => zeros(weights.slice(row * size, (row + 1) * size)) === size,
      );
    };
    const stage3 = [1, 2, 3].map((block) => deadRows(`stage3.block${block}.conv2.weight`, 64 * 9));
    expect(stage3[0]?.length).toBeGreaterThan(0);
    expect(stage3[1]).toEqual(stage3[0]);
    expect(stage3[2]).toEqual(stage3[0]);
    // Behind the padded shortcut the stream of stage 2 is in the middle of that of stage 3.
    const stage2 = deadRows('stage2.block1.conv2.weight', 32 * 9);
    const middle = (stage3[0] ?? []).filter((row) => row >= 0 && row < 64);
    for (const row of stage2) expect(middle.some((other) => other === row || other === row + 16)).toBe(true);
  });

  test('a dry run says what a run does', async () => {
    const path = saved(newModel('lenet5', { seed: 2 }, fillNormal));
    for (const granularity of ['channel', 'block:8x8', '1:4'] satisfies Granularity[]) {
      const ratio = granularity === '1:4' ? {} : { ratio: 0.7 };
      const planned = await prune(path, { dryRun: true, granularity, ...ratio });
      const done = await prune(path, { output: output(), granularity, ...ratio });
      expect({ ...planned, output: 0, seconds: 0, threads: 0 }).toEqual({ ...done, output: 0, seconds: 0, threads: 0 });
    }
  });

  test('float16 weights and biases, in place, with one thread and with two', async () => {
    const half = (count: number, seed: number) =>
      Array.from({ length: count }, (_, index) => 0x3000 + (((index + seed) * 977) % 0x700) + (index % 2) * 0x8000);
    const initializer = [
      { name: 'a', dims: [6n, 3n, 1n, 1n], dataType: 10, int32Data: half(18, 1) },
      { name: 'bias', dims: [6n], dataType: 10, int32Data: half(6, 2) },
      {
        name: 'b',
        dims: [2n, 6n, 1n, 1n],
        dataType: 10,
        rawData: new Uint8Array(Uint16Array.from(half(12, 3)).buffer),
      },
    ];
    const node = [
      { opType: 'Conv', input: ['x', 'a', 'bias'], output: ['c'] },
      { opType: 'Conv', input: ['c', 'b'], output: ['y'] },
    ];
    const model = modelWith({ initializer, node, output: [{ name: 'y' }] });
    const results: Uint8Array[] = [];
    for (const threads of [1, 2]) {
      const path = saved(model);
      const report = await prune(path, { output: path, granularity: 'channel', ratio: 0.5, threads });
      expect(report).toMatchObject({ weights: 18, removed: 9, groups: { all: 6, removed: 3 } });
      expect(report.following).toEqual([{ name: 'bias', shape: [6], dtype: 'float16', zeroed: 3 }]);
      const loaded = readModel(path);
      const [a, bias] = (loaded.model.graph?.initializer ?? []).map((tensor) => readTensor(loaded, tensor));
      expect(elementType(10).name).toBe('float16');
      const dead = Array.from({ length: 6 }, (_, row) => row).filter((row) =>
        a?.subarray(row * 6, row * 6 + 6).every((byte) => byte === 0),
      );
      expect(dead).toHaveLength(3);
      for (const row of dead) expect([...(bias?.subarray(2 * row, 2 * row + 2) ?? [])]).toEqual([0, 0]);
      results.push(a ?? new Uint8Array());
    }
    expect(results[0]).toEqual(results[1]);
  });
});

test('random shapes: the counts of the report are those of the file', async () => {
  const granularities = fc.constantFrom<Granularity>('channel', 'block:2x3', 'block:8x1', '1:2', '2:4');
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 3, maxLength: 6 });
  const ratios = fc.double({ min: 0, max: 0.45, noNaN: true });
  await fc.assert(
    fc.asyncProperty(
      granularities,
      sizes,
      ratios,
      fc.integer({ min: 1, max: 3 }),
      async (granularity, some, ratio, threads) => {
        const initializer = some.slice(1).map((size, index) => ({
          name: `w${index}`,
          dims: [BigInt(2 * (some[index] ?? 1)), BigInt(2 * size)],
          dataType: 1,
          rawData: rawOf(values(4 * (some[index] ?? 1) * size, index)),
        }));
        const node = initializer.map((_, index) => ({
          opType: 'MatMul',
          input: [index === 0 ? 'x' : `y${index - 1}`, `w${index}`],
          output: [`y${index}`],
        }));
        const path = saved(modelWith({ initializer, node, output: [{ name: `y${initializer.length - 1}` }] }));
        const out = output();
        const free = granularity.startsWith('b') || granularity === 'channel';
        const run = prune(path, { output: out, granularity, threads, ...(free ? { ratio } : {}) });
        const report = await run.catch((error: { code?: string }) => error.code);
        if (report === 'NOTHING_PRUNABLE') return;
        if (typeof report !== 'object') throw new Error(`Expected a report, got ${report}`);
        const after = weightsOf(out);
        for (const { name, removed } of report.tensors) expect(zeros(after.get(name) ?? [])).toBe(removed);
        for (const { name } of report.skipped) expect(zeros(after.get(name) ?? [])).toBe(0);
        if (free) expect(report.removed).toBeLessThanOrEqual(Math.round(ratio * report.weights));
      },
    ),
    { numRuns: 60 },
  );
});

describe('what is refused', () => {
  const path = threeLayers();

  test.each<[object, string]>([
    [{ granularity: 'chanel', ratio: 0.5 }, 'did you mean "channel"'],
    [{ granularity: '4:2', ratio: 0.5 }, '2:4 keeps 2 of every 4'],
    [{ granularity: '0:4' }, 'N:M with 1 <= N'],
    [{ granularity: '20:64' }, 'M <= 32'],
    [{ granularity: 'block:0x4', ratio: 0.5 }, 'at least one row'],
    [{ granularity: 'block:4', ratio: 0.5 }, 'block:RxC such as block:4x4'],
    [{ granularity: 4, ratio: 0.5 }, 'got 4'],
    [{ granularity: 'channel' }, 'Expected ratio to be a number'],
    [{ granularity: 'channel', ratio: 0.5, scope: 'layer' }, 'coupled over layers'],
    [{ granularity: '2:4', scope: 'layer' }, 'Expected scope to be "global"'],
    [{ granularity: '2:4', minKeep: 0.1 }, 'Expected minKeep to be 0'],
    [{ granularity: '2:4', allowNonfinite: true }, 'Expected allowNonfinite to be false'],
  ])('%j', async (options, message) => {
    await expect(prune(path, { output: output(), ...options } as Parameters<typeof prune>[1])).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(message),
    });
  });

  test('a ratio that channels which stay do not leave room for', async () => {
    const model = saved(newModel('lenet5', {}, fillNormal));
    await expect(prune(model, { output: output(), granularity: 'channel', ratio: 0.9999 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('lower the ratio'),
    });
  });
});
