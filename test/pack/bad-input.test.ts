// Packed and sparse files that are damaged or lie, options that make no sense, and what is left behind: nothing.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { isSecateurError, type SecateurErrorCode } from '../../src/errors.js';
import {
  type ModelProto,
  ModelProtoSchema,
  SparseTensorProtoSchema,
  TensorProtoSchema,
} from '../../src/onnx/schema/onnx_pb.js';
import { pack } from '../../src/pack/pack.js';
import { modelSizes } from '../../src/pack/sizes.js';
import { unpack } from '../../src/pack/unpack.js';
import { modelWith, saved, temporaryFolder } from '../onnx/helpers.js';
import { info, prunedLeNet, rawTensor, sparseNumbers } from './support.js';

const folder = temporaryFolder();
let lenet = '';
let packed: Uint8Array = new Uint8Array(0);

beforeAll(async () => {
  lenet = await prunedLeNet(folder);
  await pack(lenet, { output: join(folder, 'packed.onnx'), values: 'codebook8' });
  packed = readFileSync(join(folder, 'packed.onnx'));
});

let folders = 0;

/** Unpacks a file in a folder of its own; returns the error's code, and checks that nothing else is left there. */
async function refusal(bytes: Uint8Array): Promise<SecateurErrorCode | undefined> {
  const own = join(folder, `case${folders++}`);
  mkdirSync(own);
  writeFileSync(join(own, 'in.onnx'), bytes);
  try {
    await unpack(join(own, 'in.onnx'), { output: join(own, 'out.onnx') });
    expect(readdirSync(own).sort()).toEqual(['in.onnx', 'out.onnx']);
    return undefined;
  } catch (error) {
    expect(readdirSync(own)).toEqual(['in.onnx']);
    if (!isSecateurError(error)) throw error;
    return error.code;
  }
}

/** The packed model after a change. */
function changed(change: (model: ModelProto & { graph: NonNullable<ModelProto['graph']> }) => void): Uint8Array {
  const model = fromBinary(ModelProtoSchema, packed);
  if (model.graph === undefined) throw new Error('Expected a graph');
  change(model as ModelProto & { graph: NonNullable<ModelProto['graph']> });
  return toBinary(ModelProtoSchema, model);
}

describe('a packed file', () => {
  test('cut short anywhere is refused', async () => {
    for (let bytes = 0; bytes < packed.byteLength; bytes += 397) {
      expect(await refusal(packed.subarray(0, bytes))).toMatch(/INVALID_MODEL|UNSUPPORTED/);
    }
    expect(await refusal(packed)).toBeUndefined();
  });

  test.each<[string, Parameters<typeof changed>[0]]>([
    ['an operator is gone', ({ graph }) => graph.node.shift()],
    ['an operator is another', ({ graph }) => Object.assign(graph.node[2] ?? {}, { opType: 'Add' })],
    ['an input is another', ({ graph }) => graph.node[3]?.input.reverse()],
    ['the count is too large', (model) => set(model, '1000')],
    ['the count is too small', (model) => set(model, '5')],
    ['the count is no number', (model) => set(model, '1e3')],
    ['there are counts for more graphs', (model) => set(model, '34,1,1')],
    ['a constant is another', ({ graph }) => edit(graph, ({ int32Data }) => int32Data[0] === 15, { int32Data: [16] })],
    ['a stream is shorter', ({ graph }) => shorten(graph, 1)],
    ['a stream is empty', ({ graph }) => shorten(graph, 1e9)],
    ['a stream has another type', ({ graph }) => edit(graph, isStream, { dataType: 3 })],
    ['the length is enormous', ({ graph }) => edit(graph, isLength, { int64Data: [2n ** 40n] })],
    ['the length is negative', ({ graph }) => edit(graph, isLength, { int64Data: [-1n] })],
    ['the length is one less', ({ graph }) => edit(graph, isLength, { int64Data: [399_999n] })],
    ['the length is missing', ({ graph }) => edit(graph, isLength, { int64Data: [] })],
    ['a shape is another', ({ graph }) => edit(graph, isShape, { int64Data: [500n, 801n] })],
    ['an initializer is missing', ({ graph }) => graph.initializer.splice(3, 1)],
  ])('is refused where %s', async (_, change) => {
    expect(await refusal(changed(change))).toBe('INVALID_MODEL');
  });

  test('with any bytes changed is refused or unpacked, and never crashes', async () => {
    const edits = fc.array(fc.tuple(fc.nat(packed.byteLength - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(edits, async (list) => {
        const bytes = Uint8Array.from(packed);
        for (const [at, flip] of list) bytes[at] = (bytes[at] ?? 0) ^ flip;
        const code = await refusal(bytes);
        expect([undefined, 'INVALID_MODEL', 'UNSUPPORTED', 'RUNTIME', 'EXTERNAL_DATA']).toContain(code);
      }),
      { numRuns: 150 },
    );
  });
});

type Graph = NonNullable<ModelProto['graph']>;
type Tensor = Graph['initializer'][number];

function set(model: ModelProto, value: string): void {
  for (const entry of model.metadataProps) if (entry.key === 'secateur_packed') entry.value = value;
}

function edit(graph: Graph, which: (tensor: Tensor) => boolean, fields: Partial<Tensor>): void {
  const tensor = graph.initializer.find(which);
  expect(tensor).toBeDefined();
  Object.assign(tensor ?? {}, fields);
}

const isStream = ({ dataType, dims }: Tensor) => dataType === 2 && dims.length === 2;
const isLength = ({ int64Data }: Tensor) => int64Data.length === 1 && int64Data[0] === 400_000n;
const isShape = ({ int64Data }: Tensor) => int64Data.join() === '500,800';

function shorten(graph: Graph, bytes: number): void {
  const tensor = graph.initializer.find(isStream);
  if (tensor === undefined) return;
  tensor.rawData = tensor.rawData.subarray(0, Math.max(0, tensor.rawData.byteLength - bytes));
  tensor.dims = [BigInt(tensor.rawData.byteLength), ...tensor.dims.slice(1)];
}

test('a packed file is refused where its zeros are something else', async () => {
  const zeros = saved(
    modelWith({
      initializer: [rawTensor('w', [50, 50], new Float64Array(2500), 11)],
      input: [info('x', [1])],
      output: [info('y', [1]), info('z', [50, 50], 11)],
      node: [
        { opType: 'Relu', input: ['x'], output: ['y'] },
        { opType: 'Identity', input: ['w'], output: ['z'] },
      ],
    }),
  );
  await pack(zeros, { output: join(folder, 'zeros.onnx') });
  const bytes = readFileSync(join(folder, 'zeros.onnx'));
  const withValue = (fields: Partial<Tensor>) => {
    const model = fromBinary(ModelProtoSchema, bytes);
    const value = model.graph?.node[0]?.attribute[0]?.t;
    expect(value).toBeDefined();
    Object.assign(value ?? {}, fields);
    return toBinary(ModelProtoSchema, model);
  };
  expect(await refusal(withValue({}))).toBeUndefined();
  expect(await refusal(withValue({ doubleData: [], rawData: new Uint8Array(8) }))).toBeUndefined();
  for (const other of [
    { doubleData: [1] },
    { doubleData: [-0] },
    { doubleData: [] },
    { doubleData: [0, 0] },
    { dims: [2n], doubleData: [0, 0] },
    { doubleData: [], rawData: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 128) },
    { dataType: 7, doubleData: [], int64Data: [0n] },
  ]) {
    expect(await refusal(withValue(other))).toBe('INVALID_MODEL');
  }
});

describe('a sparse initializer', () => {
  const sparse = (dims: bigint[], indices: bigint[], indexDims: bigint[], values = indices.length) =>
    toBinary(
      ModelProtoSchema,
      modelWith({
        sparseInitializer: [
          create(SparseTensorProtoSchema, {
            dims,
            values: rawTensor('w', [values], new Float32Array(values).fill(2)),
            indices: create(TensorProtoSchema, { dims: indexDims, dataType: 7, int64Data: indices }),
          }),
        ],
        input: [info('x', [1])],
        output: [info('y', [1])],
        node: [{ opType: 'Relu', input: ['x'], output: ['y'] }],
      }),
    );

  test.each<[string, Uint8Array]>([
    ['an index is outside', sparse([4n, 5n], [1n, 20n], [2n])],
    ['an index is negative', sparse([4n, 5n], [-1n, 2n], [2n])],
    ['indices descend', sparse([4n, 5n], [3n, 2n], [2n])],
    ['an index comes twice', sparse([4n, 5n], [3n, 3n], [2n])],
    ['there are fewer indices than values', sparse([4n, 5n], [3n], [1n], 2)],
    ['a coordinate is outside', sparse([4n, 5n], [1n, 5n], [1n, 2n], 1)],
    ['coordinates have another rank', sparse([4n, 5n], [1n, 2n, 3n], [1n, 3n], 1)],
    ['a dimension is negative', sparse([4n, -5n], [1n], [1n])],
  ])('is refused where %s', async (_, bytes) => {
    expect(await refusal(bytes)).toBe('INVALID_MODEL');
  });

  test('is refused where no memory could hold it', async () => {
    expect(await refusal(sparse([2n ** 40n], [1n], [1n]))).toBe('UNSUPPORTED');
  });

  test('with coordinates is made dense', async () => {
    expect(await refusal(sparse([4n, 5n], [0n, 1n, 3n, 4n], [2n, 2n], 2))).toBeUndefined();
  });
});

describe('pack', () => {
  test.each([
    [{ format: 'zip' }, 'Expected format to be "packed" or "sparse", got "zip"'],
    [{ values: 'f8' }, 'Expected values to be "f32" or "f16" or "codebook8", got "f8"'],
    [{ format: 'sparse', values: 'f16' }, 'Expected values with format sparse to be "f32", got "f16"'],
    [{ valeus: 'f16' }, 'Unknown option "valeus"; did you mean "values"?'],
    [{ output: '' }, 'Expected output to be the path of a file, got ""'],
  ])('refuses %o', async (options, message) => {
    const given = { output: join(folder, 'never.onnx'), ...options } as Parameters<typeof pack>[1];
    await expect(pack(lenet, given)).rejects.toMatchObject({ code: 'INVALID_OPTION', message });
  });

  const withOpset = (version: bigint) => {
    const model = modelWith({
      initializer: [rawTensor('w', [50, 50], sparseNumbers(2500, 20))],
      input: [info('x', [1, 50])],
      output: [info('y', [1, 50])],
      node: [{ opType: 'MatMul', input: ['x', 'w'], output: ['y'] }],
    });
    for (const entry of model.opsetImport) entry.version = version;
    return saved(model);
  };

  test('refuses old operator sets with the reason, but writes them sparse', async () => {
    const old = withOpset(12n);
    const output = join(folder, 'old.onnx');
    await expect(pack(old, { output })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/to have opset 13 or later, .*, got 12: .* format sparse/),
    });
    const report = await pack(old, { output, format: 'sparse' });
    expect(report.tensors).toMatchObject([{ encoding: 'sparse' }]);
    expect(await modelSizes(old)).toMatchObject({ packed: null });
  });

  test('leaves nothing in place that ONNX Runtime does not load', async () => {
    const own = temporaryFolder();
    const bad = saved(
      modelWith({
        initializer: [rawTensor('w', [50, 50], sparseNumbers(2500, 20))],
        input: [info('x', [1, 50])],
        output: [info('y', [1, 50])],
        node: [{ opType: 'NoSuchOperator', input: ['x', 'w'], output: ['y'] }],
      }),
    );
    writeFileSync(join(own, 'out.onnx'), 'old');
    for (const format of ['packed', 'sparse'] as const) {
      await expect(pack(bad, { output: join(own, 'out.onnx'), format })).rejects.toMatchObject({
        code: 'RUNTIME',
        message: expect.stringContaining('nothing was written'),
      });
      expect(readdirSync(own)).toEqual(['out.onnx']);
      expect(readFileSync(join(own, 'out.onnx'), 'utf8')).toBe('old');
    }
  });

  test('stops at a signal, and leaves nothing behind', async () => {
    const own = temporaryFolder();
    const signal = AbortSignal.abort();
    await expect(pack(lenet, { output: join(own, 'out.onnx'), signal })).rejects.toMatchObject({ code: 'ABORTED' });
    expect(readdirSync(own)).toEqual([]);
  });

  test('says what a file is that is no model', async () => {
    writeFileSync(join(folder, 'text.onnx'), 'no model');
    await expect(pack(join(folder, 'text.onnx'), { output: join(folder, 'x.onnx') })).rejects.toMatchObject({
      code: 'INVALID_MODEL',
    });
    await expect(unpack(lenet, { output: join(folder, 'x.onnx') })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

test('unpacking and estimating stop at a signal, and leave nothing behind', async () => {
  const own = temporaryFolder();
  for (const format of ['packed', 'sparse'] as const) {
    const small = join(folder, `signal-${format}.onnx`);
    await pack(lenet, { output: small, format });
    const controller = new AbortController();
    const seen: number[] = [];
    const onProgress: Parameters<typeof unpack>[1]['onProgress'] = ({ done, total }) => {
      seen.push(done / total);
      controller.abort();
    };
    const output = join(own, 'out.onnx');
    const stopped = unpack(small, { output, signal: controller.signal, onProgress });
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' });
    expect(seen).toHaveLength(1);
    expect(readdirSync(own)).toEqual([]);
    const all: number[] = [];
    await unpack(small, {
      output: join(folder, 'whole.onnx'),
      onProgress: ({ done, total }) => all.push(done / total),
    });
    expect(all.at(-1)).toBe(1);
  }
  const controller = new AbortController();
  const onProgress = () => controller.abort();
  await expect(modelSizes(lenet, { signal: controller.signal, onProgress })).rejects.toMatchObject({ code: 'ABORTED' });
});

test('sizes are near those of the files', async () => {
  const { file, sparse, packed: small, zipped } = await modelSizes(lenet);
  const { bytes } = await pack(lenet, { output: join(folder, 'sizes.onnx') });
  const { bytes: bytesSparse } = await pack(lenet, { output: join(folder, 'sizes-sparse.onnx'), format: 'sparse' });
  expect(file).toBe(bytes.before);
  expect(Math.abs((small ?? 0) - bytes.after)).toBeLessThan(600);
  expect(Math.abs(sparse - bytesSparse.after)).toBeLessThan(200);
  expect(zipped).toBeGreaterThan(bytes.after);
  expect(zipped).toBeLessThan(file / 20);
  expect(await modelSizes(lenet, { zip: false })).toMatchObject({ zipped: null, file });
});
