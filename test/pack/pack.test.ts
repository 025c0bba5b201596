// `pack` and `unpack` from file to file: sizes, outputs in both runtimes, what the runtime makes of the operators, and
// every kind of tensor that models have.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, test } from 'vitest';
import { readModel } from '../../src/onnx/load.js';
import { AttributeProtoSchema, type TensorProto } from '../../src/onnx/schema/onnx_pb.js';
import { pack, packWithin } from '../../src/pack/pack.js';
import { unpack, unpackWithin } from '../../src/pack/unpack.js';
import { prune } from '../../src/prune/prune.js';
import { modelWith, saved, temporaryFolder } from '../onnx/helpers.js';
import {
  histogram,
  info,
  newModelAt,
  optimised,
  outputsInWeb,
  outputsOf,
  prunedLeNet,
  rawTensor,
  sparseNumbers,
  tensorsAt,
} from './support.js';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const IMAGE = [2, 1, 28, 28];
let lenet = '';

beforeAll(async () => {
  lenet = await prunedLeNet(folder);
});

describe('LeNet-5 with 1.2% of its weights', () => {
  test.each([
    ['f32', 1 / 50, 0],
    ['f16', 1 / 80, 1e-3],
    ['codebook8', 1 / 110, 2e-2],
  ] as const)('%s is at most %f of the dense file, and gives the same outputs', async (values, ratio, tolerance) => {
    const output = at(`lenet-${values}.onnx`);
    const report = await pack(lenet, { output, values });
    expect(report.bytes).toEqual({ before: statSync(lenet).size, after: statSync(output).size });
    expect(report.bytes.after / report.bytes.before).toBeLessThanOrEqual(ratio);
    expect(report.loadSeconds).toBeGreaterThan(0);
    const expected = await outputsOf(lenet, IMAGE);
    const actual = await outputsOf(output, IMAGE);
    const inWeb = await outputsInWeb(output, IMAGE);
    const denseInWeb = await outputsInWeb(lenet, IMAGE);
    for (const [name, numbers] of Object.entries(expected)) {
      if (tolerance === 0) expect(actual[name]).toEqual(numbers);
      if (tolerance === 0) expect(inWeb[name]).toEqual(denseInWeb[name]);
      for (const [index, number] of numbers.entries()) {
        expect(Math.abs((actual[name]?.[index] ?? Number.NaN) - number)).toBeLessThanOrEqual(tolerance);
        expect(Math.abs((inWeb[name]?.[index] ?? Number.NaN) - number)).toBeLessThanOrEqual(tolerance + 1e-5);
      }
    }
  });

  test('the runtime folds the operators away: its graph is that of the dense model', async () => {
    const output = at('folded.onnx');
    await pack(lenet, { output, values: 'codebook8' });
    const [dense, packed] = [await optimised(lenet), await optimised(output)];
    expect(histogram(packed)).toEqual(histogram(dense));
    const shapes = ({ graph }: typeof dense) => graph?.initializer.map(({ dims }) => dims.join()).sort();
    expect(shapes(packed)).toEqual(shapes(dense));
  });

  test('comes back bit for bit from packed and from sparse', async () => {
    for (const format of ['packed', 'sparse'] as const) {
      const small = at(`${format}.onnx`);
      await pack(lenet, { output: small, format });
      const dense = at(`${format}-dense.onnx`);
      const report = await unpack(small, { output: dense });
      expect(tensorsAt(dense)).toEqual(tensorsAt(lenet));
      expect(report.tensors).toContain('fc1.weight');
      expect(histogram(readModel(dense).model)).toEqual(histogram(readModel(lenet).model));
      expect(readModel(dense).model.metadataProps).toEqual(readModel(lenet).model.metadataProps);
    }
  });

  test('reports the errors that the unpacked weights have', async () => {
    for (const values of ['f16', 'codebook8'] as const) {
      const output = at('errors.onnx');
      const report = await pack(lenet, { output, values });
      await unpack(output, { output: at('errors-dense.onnx') });
      const [before, after] = [dense(lenet), dense(at('errors-dense.onnx'))];
      for (const { name, error, weights, nonzeros, values: form } of report.tensors) {
        const was = before.get(name) ?? new Float32Array(0);
        const differences = (after.get(name) ?? new Float32Array(0)).map((value, index) =>
          Math.abs(value - (was[index] ?? 0)),
        );
        expect(differences.length).toBe(weights);
        expect(Math.fround(error.largest)).toBe(differences.reduce((largest, one) => Math.max(largest, one), 0));
        expect(error.mean).toBeCloseTo(differences.reduce((sum, one) => sum + one, 0) / Math.max(nonzeros, 1), 8);
        if (form === 'same') expect(error).toEqual({ largest: 0, mean: 0 });
      }
      expect(report.tensors.some(({ values: form }) => form !== 'same')).toBe(true);
    }
  });

  test('packing again changes nothing, and says why', async () => {
    for (const values of ['f32', 'f16', 'codebook8'] as const) {
      const once = at('once.onnx');
      const twice = at('twice.onnx');
      await pack(lenet, { output: once, values });
      const report = await pack(once, { output: twice, values });
      expect(readFileSync(twice)).toEqual(readFileSync(once));
      expect(report.skipped).toContainEqual({ name: 'fc1.weight', reason: 'packed already' });
    }
  });

  test('the same bytes for every number of threads', async () => {
    for (const values of ['f32', 'codebook8'] as const) {
      const files = await Promise.all(
        [1, 2, 5].map(async (threads) => {
          const output = at(`threads-${values}-${threads}.onnx`);
          await pack(lenet, { output, values, threads });
          return readFileSync(output).toString('base64');
        }),
      );
      expect(new Set(files).size).toBe(1);
    }
  });

  test('may replace its input, and leaves nothing else behind', async () => {
    const own = temporaryFolder();
    const model = join(own, 'model.onnx');
    writeFileSync(model, readFileSync(lenet));
    await pack(model, { output: model });
    expect(readdirSync(own)).toEqual(['model.onnx']);
    expect(await outputsOf(model, IMAGE)).toEqual(await outputsOf(lenet, IMAGE));
  });
});

function dense(path: string): Map<string, Float32Array> {
  return new Map(
    [...tensorsAt(path)].map(([name, text]) => {
      const bytes = Uint8Array.from(Buffer.from(text.split(' ')[2] ?? '', 'base64'));
      return [name, new Float32Array(bytes.buffer)];
    }),
  );
}

describe.each([
  ['resnet56', { depth: 20 }, [1, 3, 32, 32]],
  ['yolov4', { tiny: true, size: 64 }, [1, 3, 64, 64]],
] as const)('%s', (name, options, dims) => {
  test('pruned by 90% gives equal outputs packed and sparse, and folds to the graph of the dense model', async () => {
    const own = temporaryFolder();
    const model = await newModelAt(own, name, options);
    const pruned = join(own, 'pruned.onnx');
    await prune(model, { output: pruned, ratio: 0.9 });
    const expected = await outputsOf(pruned, dims);
    for (const format of ['packed', 'sparse'] as const) {
      const small = join(own, `${format}.onnx`);
      const { bytes } = await pack(pruned, { output: small, format });
      expect(bytes.after).toBeLessThan(bytes.before / (format === 'packed' ? 6 : 4));
      expect(await outputsOf(small, dims)).toEqual(expected);
      expect(histogram(await optimised(small))).toEqual(histogram(await optimised(pruned)));
      await unpack(small, { output: join(own, 'back.onnx') });
      expect(tensorsAt(join(own, 'back.onnx'))).toEqual(tensorsAt(pruned));
    }
  });
});

/** A model whose outputs are its tensors, so that the runtime shows what it made of them. */
function showing(tensors: readonly TensorProto[], opset = 17n) {
  const shown = tensors.map(({ name, dims, dataType }) => info(`${name}_out`, dims.map(Number), dataType));
  const model = modelWith({
    initializer: [...tensors],
    input: [info('x', [1])],
    output: [...shown, info('y', [1])],
    node: [
      ...tensors.map(({ name }) => ({ opType: 'Identity', input: [name], output: [`${name}_out`] })),
      { opType: 'Relu', input: ['x'], output: ['y'] },
    ],
  });
  const [opsets] = model.opsetImport;
  if (opsets !== undefined) opsets.version = opset;
  return saved(model);
}

async function shownBy(path: string): Promise<Record<string, Float32Array>> {
  return await outputsOf(path, [1]);
}

describe('tensors', () => {
  const cases: Record<string, TensorProto> = {
    mask: rawTensor('mask', [50, 61], sparseNumbers(3050, 2)),
    gaps4: rawTensor('gaps4', [3050], sparseNumbers(3050, 9)),
    gaps8: rawTensor('gaps8', [3, 4, 5, 1000], sparseNumbers(60_000, 97)),
    rare: rawTensor('rare', [100, 700], sparseNumbers(70_000, 9973)),
    first: rawTensor('first', [40, 50], new Float32Array(2000).fill(3, 0, 1)),
    last: rawTensor('last', [40, 50], new Float32Array(2000).fill(3, 1999)),
    ends: rawTensor('ends', [2000], new Float32Array(2000).fill(3, 0, 1).fill(4, 1999)),
    zeros: rawTensor('zeros', [40, 50], new Float32Array(2000)),
    zeroVector: rawTensor('zeroVector', [2000], new Float32Array(2000)),
    negativeZero: rawTensor('negativeZero', [40, 50], new Float32Array(2000).fill(-0, 7, 9).fill(1, 50, 53)),
    odd: rawTensor(
      'odd',
      [40, 50],
      new Float32Array(2000).fill(Number.NaN, 3, 4).fill(Number.POSITIVE_INFINITY, 4, 5).fill(1e-42, 90, 91),
    ),
  };

  test('each on its own and all together come back bit for bit, and the runtime sees them', async () => {
    const seen = new Set<string>();
    for (const some of [...Object.values(cases).map((one) => [one]), Object.values(cases)]) {
      const model = showing(some);
      const small = at('some.onnx');
      const { tensors } = await pack(model, { output: small });
      expect(tensors.filter(({ encoding }) => encoding === 'dense')).toEqual([]);
      for (const { encoding } of tensors) seen.add(encoding);
      await unpack(small, { output: at('some-dense.onnx') });
      expect(tensorsAt(at('some-dense.onnx'))).toEqual(tensorsAt(model));
      const bits = (outputs: Record<string, Float32Array>) =>
        Object.entries(outputs).map(([name, numbers]) => [name, Buffer.from(numbers.buffer).toString('hex')]);
      expect(bits(await shownBy(small))).toEqual(bits(await shownBy(model)));
    }
    for (const encoding of ['zeros', 'gaps8', 'gaps4', 'mask']) expect(seen).toContain(encoding);
  });

  test.each([13, 14, 15, 18, 19, 21])('unpack themselves in opset %i', async (opset) => {
    const model = showing(Object.values(cases), BigInt(opset));
    await pack(model, { output: at('opset.onnx') });
    expect(await shownBy(at('opset.onnx'))).toEqual(await shownBy(model));
    expect(histogram(await optimised(at('opset.onnx')))).toEqual(histogram(await optimised(model)));
  });

  test('every length of a stream of gaps and masks', async () => {
    for (let length = 64; length < 100; length++) {
      const values = sparseNumbers(length, 3);
      values[length % 7] = 1;
      const model = showing([
        rawTensor(
          'w',
          [length * 10],
          Float32Array.from({ length: length * 10 }, (_, i) => (i < length ? (values[i] ?? 0) : 0)),
        ),
      ]);
      await pack(model, { output: at('length.onnx') });
      expect(await shownBy(at('length.onnx'))).toEqual(await shownBy(model));
      await unpack(at('length.onnx'), { output: at('length-dense.onnx') });
      expect(tensorsAt(at('length-dense.onnx'))).toEqual(tensorsAt(model));
    }
  });

  test('float16 and float64 keep their types; bfloat16 and quantised ones stay, with the reason', async () => {
    const halves = Uint16Array.from({ length: 4000 }, (_, index) => (index % 11 === 0 ? 0x3c00 + (index % 1000) : 0));
    const doubles = Float64Array.from(sparseNumbers(4000, 5));
    const model = saved(
      modelWith({
        initializer: [
          rawTensor('half', [40, 100], halves, 10),
          rawTensor('double', [40, 100], doubles, 11),
          rawTensor('brain', [40, 100], halves, 16),
          rawTensor('bytes', [40, 100], new Uint8Array(4000), 3),
        ],
        input: [info('x', [1])],
        output: [info('y', [1])],
        node: [{ opType: 'Relu', input: ['x'], output: ['y'] }],
      }),
    );
    const report = await pack(model, { output: at('types.onnx'), values: 'codebook8' });
    expect(report.tensors.map(({ name, values }) => [name, values])).toEqual([
      ['half', 'same'],
      ['double', 'same'],
    ]);
    expect(report.tensors.map(({ encoding }) => encoding)).not.toContain('dense');
    expect(report.skipped.map(({ name }) => name)).toEqual(['brain', 'bytes']);
    await unpack(at('types.onnx'), { output: at('types-dense.onnx') });
    expect(tensorsAt(at('types-dense.onnx'))).toEqual(tensorsAt(model));
  });

  test('empty, scalar, small and dense tensors stay as they are', async () => {
    const model = showing([
      rawTensor('empty', [0, 7], new Float32Array(0)),
      rawTensor('scalar', [], new Float32Array(1)),
      rawTensor('small', [5, 5], new Float32Array(25)),
      rawTensor('full', [40, 50], sparseNumbers(2000, 1).fill(0.5)),
    ]);
    const { tensors } = await pack(model, { output: at('stay.onnx') });
    expect(tensors).toMatchObject([{ name: 'full', encoding: 'dense' }]);
    expect(tensorsAt(at('stay.onnx'))).toEqual(tensorsAt(model));
  });

  test('in Constants, in subgraphs, shared, and as inputs with defaults', async () => {
    const inner = rawTensor('inner', [50, 50], sparseNumbers(2500, 20));
    const constant = create(AttributeProtoSchema, {
      name: 'value',
      type: 4,
      t: rawTensor('', [50, 50], sparseNumbers(2500, 30)),
    });
    const branch = (name: string, node: object[]) =>
      create(AttributeProtoSchema, {
        name,
        type: 5,
        g: { name, node, initializer: name === 'then_branch' ? [inner] : [], output: [info('z', [1, 50])] },
      });
    const model = saved(
      modelWith({
        initializer: [
          rawTensor('shared', [50, 50], sparseNumbers(2500, 10)),
          rawTensor('default', [50, 50], sparseNumbers(2500, 10)),
          rawTensor('yes', [], Uint8Array.of(1), 9),
        ],
        input: [info('x', [1, 50]), info('default', [50, 50])],
        output: [info('y', [1, 50])],
        node: [
          { opType: 'MatMul', input: ['x', 'shared'], output: ['a'] },
          { opType: 'MatMul', input: ['a', 'shared'], output: ['b'] },
          { opType: 'Constant', output: ['k'], attribute: [constant] },
          { opType: 'MatMul', input: ['b', 'k'], output: ['c'] },
          { opType: 'MatMul', input: ['c', 'default'], output: ['d'] },
          {
            opType: 'If',
            input: ['yes'],
            output: ['y'],
            attribute: [
              branch('then_branch', [{ opType: 'MatMul', input: ['d', 'inner'], output: ['z'] }]),
              branch('else_branch', [{ opType: 'Identity', input: ['d'], output: ['z'] }]),
            ],
          },
        ],
      }),
    );
    for (const format of ['packed', 'sparse'] as const) {
      const report = await pack(model, { output: at('places.onnx'), format });
      expect(report.tensors.map(({ name }) => name)).toEqual(['shared', 'k', 'If/then_branch/inner']);
      expect(report.tensors.map(({ encoding }) => encoding)).not.toContain('dense');
      expect(report.skipped).toEqual([
        { name: 'default', reason: 'also an input of its graph, which a caller may replace' },
      ]);
      expect(await outputsOf(at('places.onnx'), [1, 50])).toEqual(await outputsOf(model, [1, 50]));
      await unpack(at('places.onnx'), { output: at('places-dense.onnx') });
      expect(await outputsOf(at('places-dense.onnx'), [1, 50])).toEqual(await outputsOf(model, [1, 50]));
      expect(statSync(at('places-dense.onnx')).size).toBeGreaterThan(30_000);
    }
  });

  test('codebooks of few values, and values beyond float16', async () => {
    const few = rawTensor(
      'few',
      [50, 100],
      sparseNumbers(5000, 4).map((value) => Math.round(value * 20) / 8 || 0),
    );
    const huge = rawTensor(
      'huge',
      [50, 100],
      sparseNumbers(5000, 4).map((value) => value * 1e6),
    );
    const using = (weight: TensorProto) =>
      saved(
        modelWith({
          initializer: [weight],
          input: [info('x', [1, 50])],
          output: [info('y', [1, 100])],
          node: [{ opType: 'MatMul', input: ['x', weight.name], output: ['y'] }],
        }),
      );
    const beyond = await pack(using(huge), { output: at('huge.onnx'), values: 'f16' });
    expect(beyond.tensors).toMatchObject([{ values: 'same', encoding: 'mask' }]);
    const model = using(few);
    const exact = await pack(model, { output: at('few.onnx'), values: 'codebook8' });
    expect(exact.tensors).toMatchObject([{ values: 'codebook', error: { largest: 0, mean: 0 } }]);
    await unpack(at('few.onnx'), { output: at('few-dense.onnx') });
    expect(tensorsAt(at('few-dense.onnx'))).toEqual(tensorsAt(model));
  });
});

describe('external data', () => {
  test('is read, and written where the model would be too large', async () => {
    const own = temporaryFolder();
    const big = join(own, 'big.onnx');
    // As if 2 GB were 1 MB: the dense model has a data file, the packed one does not.
    await pack(lenet, { output: join(own, 'packed.onnx') });
    await unpackWithin(join(own, 'packed.onnx'), { output: big }, 1e6);
    expect(readdirSync(own).sort()).toEqual(['big.onnx', 'big.onnx.data', 'packed.onnx']);
    expect(tensorsAt(big)).toEqual(tensorsAt(lenet));
    expect(await outputsOf(big, IMAGE)).toEqual(await outputsOf(lenet, IMAGE));
    await pack(big, { output: join(own, 'again.onnx') });
    expect(readFileSync(join(own, 'again.onnx')).byteLength).toBe(readFileSync(join(own, 'packed.onnx')).byteLength);
    await packWithin(big, { output: join(own, 'outside.onnx'), values: 'f16' }, 1e4);
    expect(readdirSync(own)).toContain('outside.onnx.data');
    await packWithin(lenet, { output: join(own, 'inside.onnx'), values: 'f16' }, 1e9);
    expect(await outputsOf(join(own, 'outside.onnx'), IMAGE)).toEqual(await outputsOf(join(own, 'inside.onnx'), IMAGE));
    await unpack(join(own, 'outside.onnx'), { output: join(own, 'outside-dense.onnx') });
    await unpack(join(own, 'inside.onnx'), { output: join(own, 'inside-dense.onnx') });
    expect(tensorsAt(join(own, 'outside-dense.onnx'))).toEqual(tensorsAt(join(own, 'inside-dense.onnx')));
  });

  test('in place, where the output needs data of its own', async () => {
    const own = temporaryFolder();
    const model = join(own, 'model.onnx');
    await pack(lenet, { output: join(own, 'packed.onnx') });
    await unpackWithin(join(own, 'packed.onnx'), { output: model }, 1e6);
    await packWithin(model, { output: model }, 1e4);
    expect(readdirSync(own)).toContain('model.onnx.1.data');
    expect(await outputsOf(model, IMAGE)).toEqual(await outputsOf(lenet, IMAGE));
  });
});

test('models with sparse initializers already keep them', async () => {
  const sparse = at('sparse-already.onnx');
  await pack(lenet, { output: sparse, format: 'sparse' });
  await pack(sparse, { output: at('both.onnx'), values: 'f16' });
  expect(readModel(at('both.onnx')).model.graph?.sparseInitializer.length).toBe(3);
  const were = new Set(readModel(sparse).model.graph?.sparseInitializer.map(({ values }) => values?.name));
  await unpack(at('both.onnx'), { output: at('both-dense.onnx') });
  expect(readModel(at('both-dense.onnx')).model.graph?.sparseInitializer).toEqual([]);
  expect(await outputsOf(at('both.onnx'), IMAGE)).toEqual(await outputsOf(at('both-dense.onnx'), IMAGE));
  const [before, after] = [tensorsAt(lenet), tensorsAt(at('both-dense.onnx'))];
  for (const name of were) expect(after.get(name ?? '')).toBe(before.get(name ?? ''));
});
