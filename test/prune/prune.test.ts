// `prune` from file to file: every place and encoding that weights can have, against the slow reference.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { readModel } from '../../src/onnx/load.js';
import { AttributeProtoSchema, type TensorProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { inspect } from '../../src/prune/inspect.js';
import { type PruneOptions, prune } from '../../src/prune/prune.js';
import { bytesField, modelWith, raw, saved, tag, temporaryFolder, varint } from '../onnx/helpers.js';
import { prunedReference, weightsOf } from './reference.js';

type TensorInit = MessageInitShape<typeof TensorProtoSchema>;

/** Values with many ties, zeros and both signs. */
function values(count: number, seed: number): number[] {
  return Array.from({ length: count }, (_, index) => (((index + seed) * 7919) % 201) / 8 - 12);
}

/** Bit patterns of float16: all finite, both signs. */
function halves(count: number, seed: number): number[] {
  return Array.from(
    { length: count },
    (_, index) => ((index * 40_503 + seed * 977) % 0x7c00) | (index % 2 ? 0x8000 : 0),
  );
}

const withoutZeroSign = (weights: Map<string, number[]>) =>
  Object.fromEntries([...weights].map(([name, some]) => [name, some.map((value) => (value === 0 ? 0 : value))]));

/** A model whose weights are in every inline encoding, two of them in a subgraph and a Constant. */
function everyEncoding() {
  const dims = [20n, 30n];
  const small = [2n, 5n];
  const initializer: TensorInit[] = [
    { name: 'raw', dims, dataType: 1, rawData: raw(values(600, 1)) },
    { name: 'floats', dims, dataType: 1, floatData: values(600, 2) },
    { name: 'doubles', dims, dataType: 11, doubleData: values(600, 3) },
    { name: 'rawDoubles', dims: small, dataType: 11, rawData: new Uint8Array(Float64Array.from(values(10, 4)).buffer) },
    { name: 'halves', dims, dataType: 10, int32Data: halves(600, 5) },
    { name: 'rawHalves', dims, dataType: 10, rawData: new Uint8Array(Uint16Array.from(halves(600, 6)).buffer) },
    { name: 'brains', dims: small, dataType: 16, int32Data: [0x3f80, 0xbf80, 0x4000, 0, 0x8000, 0x3c00, 0x1, 2, 3, 4] },
    { name: 'empty', dims: [0n, 5n], dataType: 1 },
    { name: 'zeros', dims: small, dataType: 1, floatData: Array.from({ length: 10 }, () => 0) },
    { name: 'bias', dims: [3n], dataType: 1, floatData: [1, 2, 3] },
  ];
  const inner = { name: 'inner', dims: small, dataType: 1, rawData: raw(values(10, 7)) };
  const branch = create(AttributeProtoSchema, {
    name: 'then_branch',
    type: 5,
    g: { initializer: [inner], node: [{ opType: 'MatMul', input: ['x', 'inner'], output: ['z'] }] },
  });
  const constant = create(AttributeProtoSchema, { name: 'value', type: 4, t: { ...inner, name: '' } });
  const weights = initializer.map(({ name }) => name ?? '').filter((name) => name !== 'bias');
  return modelWith({
    initializer,
    node: [
      { opType: 'Constant', output: ['k'], attribute: [constant] },
      ...weights.map((name) => ({ opType: 'MatMul', input: ['x', name], output: [`y_${name}`] })),
      { opType: 'MatMul', input: ['x', 'k'], output: ['y_k'] },
      { opType: 'If', name: 'if', input: ['c'], output: ['y_if'], attribute: [branch] },
    ],
  });
}

async function checked(
  path: string,
  options: Omit<PruneOptions, 'output'> & { ratio: number },
  output = join(temporaryFolder(), 'out.onnx'),
) {
  const before = weightsOf(path, options);
  const report = await prune(path, { ...options, output });
  const after = weightsOf(output, options);
  const expected = prunedReference(before, options.ratio, options.scope);
  expect(withoutZeroSign(after)).toEqual(withoutZeroSign(expected));
  for (const { name, weights, sparsity } of report.tensors) {
    const zeros = after.get(name)?.filter((value) => value === 0).length ?? -1;
    expect(sparsity).toBe(weights === 0 ? 0 : zeros / weights);
  }
  return { report, output };
}

/** The positions of all bytes of the main graph's initializers. */
function payloadBytes(path: string): Set<number> {
  const { model, recordOf } = readModel(path);
  const payloads = (model.graph?.initializer ?? []).flatMap((tensor) => [
    ...(recordOf(tensor)?.payloads.values() ?? []),
  ]);
  const runs = payloads.flatMap((payload) => payload.runs);
  return new Set(runs.flatMap(({ offset, bytes }) => Array.from({ length: bytes }, (_, index) => offset + index)));
}

describe('weights in the model file', () => {
  test.each([0, 0.1, 0.5, 0.9, 0.999])('ratio %d in every encoding', async (ratio) => {
    const path = saved(everyEncoding());
    const { report, output } = await checked(path, { ratio });
    const weights = 5 * 600 + 5 * 10;
    expect(report).toMatchObject({ model: path, output, scope: 'global', ratio, weights, device: 'cpu', skipped: [] });
    expect(report.removed).toBe(Math.round(ratio * weights));
    expect(report.kept).toBe(weights - report.removed);
    expect(report.tensors.map(({ name }) => name)).toContain('if/then_branch/inner');
    expect(readFileSync(output)).toHaveLength(readFileSync(path).length);
  });

  test('scope layer', async () => {
    const { report } = await checked(saved(everyEncoding()), { ratio: 0.7, scope: 'layer' });
    expect(report.threshold).toBeNull();
  });

  test('values that are not packed, among unknown fields', async () => {
    const some = values(40, 3);
    const unpacked = some.flatMap((value) => [...tag(4, 5), ...raw([value]), ...tag(77, 0), 1]);
    const half = halves(20, 1).flatMap((bits) => [...tag(5, 0), ...varint(bits)]);
    const weight = [...tag(1, 0), 8, ...tag(1, 0), 5, ...tag(2, 0), 1, ...bytesField(8, [0x77]), ...unpacked];
    const other = [...half, ...tag(1, 0), 4, ...tag(1, 0), 5, ...tag(2, 0), 10, ...bytesField(8, [0x76])];
    const node = (name: number) => [
      ...bytesField(1, [0x78]),
      ...bytesField(1, [name]),
      ...bytesField(4, Buffer.from('MatMul')),
    ];
    const graph = [
      ...bytesField(5, weight),
      ...bytesField(1, node(0x77)),
      ...bytesField(5, other),
      ...bytesField(1, node(0x76)),
    ];
    const path = saved(Uint8Array.from([...tag(1, 0), 8, ...bytesField(99, [1, 2, 3]), ...bytesField(7, graph)]));
    const { report } = await checked(path, { ratio: 0.6 });
    expect(report.removed).toBe(36);
  });

  test('include and exclude', async () => {
    const { report } = await checked(saved(everyEncoding()), {
      ratio: 0.5,
      include: ['bias'],
      exclude: ['*alves', 'if/*'],
    });
    expect(report.tensors.map(({ name }) => name)).toContain('bias');
    expect(report.skipped.map(({ name }) => name)).toEqual(['halves', 'rawHalves', 'if/then_branch/inner']);
  });

  test('only weights change, and pruning again changes nothing', async () => {
    const path = saved(everyEncoding());
    const { output } = await checked(path, { ratio: 0.5 });
    const inside = payloadBytes(path);
    const [before, after] = [readFileSync(path), readFileSync(output)];
    const changed = [...before.keys()].filter((at) => before[at] !== after[at] && !inside.has(at));
    // The Constant and the subgraph are the only other places with weights: 10 floats each.
    expect(changed.length).toBeLessThanOrEqual(80);
    const again = join(temporaryFolder(), 'again.onnx');
    await prune(output, { ratio: 0.5, output: again });
    expect(readFileSync(again).equals(after)).toBe(true);
  });

  test('in place', async () => {
    const path = saved(everyEncoding());
    const expected = prunedReference(weightsOf(path), 0.9);
    await prune(path, { output: path, ratio: 0.9 });
    expect(withoutZeroSign(weightsOf(path))).toEqual(withoutZeroSign(expected));
    expect(readdirSync(join(path, '..'))).toEqual(['model.onnx']);
  });
});

test('random weights, ratios and thread counts', async () => {
  const weights = fc.array(
    fc.array(fc.constantFrom(0, -0, 1, -1, 0.5, 3, -7, 1e-40), { minLength: 1, maxLength: 30 }),
    {
      minLength: 1,
      maxLength: 5,
    },
  );
  const ratios = fc.double({ min: 0, max: 0.999, noNaN: true });
  await fc.assert(
    fc.asyncProperty(
      weights,
      ratios,
      fc.constantFrom<'global' | 'layer'>('global', 'layer'),
      async (all, ratio, scope) => {
        const initializer = all.map((some, index) => ({
          name: `w${index}`,
          dims: [1n, BigInt(some.length)],
          dataType: 1,
          rawData: raw(some),
        }));
        const node = all.map((_, index) => ({ opType: 'MatMul', input: ['x', `w${index}`], output: [`y${index}`] }));
        await checked(saved(modelWith({ initializer, node })), { ratio, scope, threads: 1 + (all.length % 2) });
      },
    ),
    { numRuns: 60 },
  );
});

describe('a dry run', () => {
  test('writes nothing and reports what a run would', async () => {
    const path = saved(everyEncoding());
    const planned = await prune(path, { ratio: 0.5, dryRun: true });
    expect(readdirSync(join(path, '..'))).toEqual(['model.onnx']);
    const done = await prune(path, { ratio: 0.5, output: join(temporaryFolder(), 'o.onnx') });
    expect({ ...planned, output: 0, seconds: 0, threads: 0 }).toEqual({ ...done, output: 0, seconds: 0, threads: 0 });
    expect(planned.output).toBeNull();
  });
});

test('inspect counts zeros, before and after', async () => {
  const path = saved(everyEncoding());
  const before = await inspect(path);
  expect(before).toMatchObject({ model: path, opset: 17, skipped: [] });
  expect(before.prunable.find(({ name }) => name === 'zeros')).toEqual({
    name: 'zeros',
    shape: [2, 5],
    dtype: 'float32',
    weights: 10,
    zeros: 10,
    sparsity: 1,
    op: 'MatMul',
  });
  const output = join(temporaryFolder(), 'o.onnx');
  const report = await prune(path, { output, ratio: 0.8 });
  const after = await inspect(output);
  expect(after.prunable.map(({ sparsity }) => sparsity)).toEqual(report.tensors.map(({ sparsity }) => sparsity));
});

test('onnxruntime computes with the pruned weights', async () => {
  const weights = values(12, 5);
  const value = (name: string, shape: number[]) => ({
    name,
    type: {
      value: {
        case: 'tensorType' as const,
        value: {
          elemType: 1,
          shape: { dim: shape.map((d) => ({ value: { case: 'dimValue' as const, value: BigInt(d) } })) },
        },
      },
    },
  });
  const model = modelWith({
    name: 'g',
    input: [value('x', [1, 3])],
    output: [value('y', [1, 4])],
    initializer: [
      { name: 'w', dims: [3n, 4n], dataType: 1, dataLocation: 1, externalData: [{ key: 'location', value: 'w.bin' }] },
    ],
    node: [{ opType: 'MatMul', input: ['x', 'w'], output: ['y'] }],
  });
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'w.bin'), raw(weights));
  const output = join(folder, 'pruned.onnx');
  await prune(saved(model, folder), { output, ratio: 0.5 });
  const pruned = prunedReference(new Map([['w', weights]]), 0.5).get('w') ?? [];
  const session = await InferenceSession.create(output);
  const { y } = await session.run({ x: new Tensor('float32', [1, 2, 3], [1, 3]) });
  const expected = [0, 1, 2, 3].map((j) => [1, 2, 3].reduce((sum, x, i) => sum + x * (pruned[i * 4 + j] ?? 0), 0));
  expect(y?.data).toEqual(Float32Array.from(expected));
});
