// What packing does with the rest of a model: strings, data files of its own, and inputs of old IR versions.
import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { pruneAndFinish } from '../../src/cli/prune-finish.js';
import { compact } from '../../src/compact/compact.js';
import { FileSource } from '../../src/onnx/file-source.js';
import { loadFrom, readModel } from '../../src/onnx/load.js';
import { materialize } from '../../src/onnx/payload.js';
import { TensorProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { pack, packWithin } from '../../src/pack/pack.js';
import { survey } from '../../src/pack/survey.js';
import { unpack, unpackWithin } from '../../src/pack/unpack.js';
import { prune } from '../../src/prune/prune.js';
import { modelWith, saved, temporaryFolder } from '../onnx/helpers.js';
import { info, outputsOf, rawTensor, sparseNumbers, tensorsAt } from './support.js';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);

/** y = x w, with a weight of which one in `every` is not zero. */
const product = (every: number) => ({
  initializer: [rawTensor('w', [50, 50], sparseNumbers(2500, every))],
  input: [info('x', [1, 50])],
  output: [info('y', [1, 50])],
  node: [{ opType: 'MatMul', input: ['x', 'w'], output: ['y'] }],
});

test('strings of more than a kilobyte are carried along', async () => {
  const words = Array.from({ length: 300 }, (_, index) => new TextEncoder().encode(`word ${index}`));
  const strings = create(TensorProtoSchema, { name: 'words', dims: [300n], dataType: 8, stringData: words });
  const { initializer, node, ...rest } = product(20);
  const model = saved(
    modelWith({
      ...rest,
      initializer: [...initializer, strings],
      output: [...rest.output, info('words_out', [300], 8)],
      node: [...node, { opType: 'Identity', input: ['words'], output: ['words_out'] }],
    }),
  );
  for (const format of ['packed', 'sparse'] as const) {
    await pack(model, { output: at('strings.onnx'), format });
    await unpack(at('strings.onnx'), { output: at('strings-dense.onnx') });
    for (const file of ['strings.onnx', 'strings-dense.onnx']) {
      const loaded = readModel(at(file));
      materialize(loaded);
      expect(loaded.model.graph?.initializer.find(({ name }) => name === 'words')?.stringData).toEqual(words);
    }
  }
});

test('a sparse model that is too large for one file has its dense tensors in another', async () => {
  const { initializer, ...rest } = product(20);
  const full = rawTensor(
    'full',
    [50, 50],
    Float32Array.from({ length: 2500 }, (_, index) => index + 1),
  );
  const node = [...rest.node, { opType: 'MatMul', input: ['x', 'full'], output: ['z'] }];
  const model = saved(
    modelWith({ ...rest, initializer: [...initializer, full], node, output: [...rest.output, info('z', [1, 50])] }),
  );
  // As if 2 GB were 5 kB.
  await packWithin(model, { output: at('large.onnx'), format: 'sparse' }, 5000);
  const large = readModel(at('large.onnx'));
  expect(large.size).toBeLessThan(5000);
  expect(large.model.graph?.initializer[0]?.externalData).toContainEqual(
    expect.objectContaining({ key: 'location', value: 'large.onnx.data' }),
  );
  expect(await outputsOf(at('large.onnx'), [1, 50])).toEqual(await outputsOf(model, [1, 50]));
  await unpack(at('large.onnx'), { output: at('large-dense.onnx') });
  expect(tensorsAt(at('large-dense.onnx'))).toEqual(tensorsAt(model));
});

/** A model with data beside it, in a folder of its own. */
async function withData(): Promise<{ own: string; model: string }> {
  const own = temporaryFolder();
  const packed = at('packed.onnx');
  // Every other weight: what is left is large enough for a data file when it is packed, too.
  await pack(saved(modelWith(product(2))), { output: packed });
  await unpackWithin(packed, { output: join(own, 'm.onnx') }, 1);
  expect(readdirSync(own).sort()).toEqual(['m.onnx', 'm.onnx.data']);
  return { own, model: join(own, 'm.onnx') };
}

test("an output that is the model's own data is refused", async () => {
  const { model } = await withData();
  const output = `${model}.data`;
  const before = readFileSync(output);
  const refused = { code: 'INVALID_OPTION', fields: { option: 'output' } };
  for (const format of ['packed', 'sparse'] as const) {
    await expect(pack(model, { output, format })).rejects.toMatchObject(refused);
    const pruning = pruneAndFinish(model, { output, ratio: 0.5 }, { pack: { format, values: undefined } });
    await expect(pruning).rejects.toMatchObject(refused);
  }
  await expect(compact(model, { output, measure: false })).rejects.toMatchObject(refused);
  await expect(prune(model, { output, ratio: 0.5 })).rejects.toMatchObject(refused);
  expect(readFileSync(output)).toEqual(before);
});

test('data never replaces a file of another model', async () => {
  const { own, model } = await withData();
  writeFileSync(join(own, 'm.onnx.1.data'), 'of another');
  await packWithin(model, { output: model }, 1);
  expect(readdirSync(own)).toContain('m.onnx.2.data');
  expect(readFileSync(join(own, 'm.onnx.1.data'), 'utf8')).toBe('of another');
  expect(await outputsOf(model, [1, 50])).toHaveProperty('y');
});

test('in IR version 3, where every initializer is an input, all are packed', async () => {
  const { input, ...rest } = product(20);
  const old = modelWith({ ...rest, input: [...input, info('w', [50, 50])] });
  old.irVersion = 3n;
  const model = saved(old);
  const expected = await outputsOf(model, [1, 50]);
  for (const format of ['packed', 'sparse'] as const) {
    const report = await pack(model, { output: at('ir3.onnx'), format });
    expect(report.skipped).toEqual([]);
    expect(report.tensors.map(({ encoding }) => encoding)).not.toContain('dense');
    const { graph, irVersion } = readModel(at('ir3.onnx')).model;
    expect(graph?.input.map(({ name }) => name)).toEqual(['x']);
    expect(irVersion).toBe(format === 'packed' ? 4n : 6n);
    expect(await outputsOf(at('ir3.onnx'), [1, 50])).toEqual(expected);
    await unpack(at('ir3.onnx'), { output: at('ir3-dense.onnx') });
    expect(tensorsAt(at('ir3-dense.onnx'))).toEqual(tensorsAt(model));
  }
});

test.each([
  [2 ** 31 - 16, []],
  [2 ** 31 - 15, ['has 2147483633 elements, more than the 2147483632 that 32 bits count']],
])('of %d elements', (elements, reasons) => {
  const own = temporaryFolder();
  const file = openSync(join(own, 'hole.data'), 'w');
  ftruncateSync(file, elements * 2);
  closeSync(file);
  const big = create(TensorProtoSchema, {
    name: 'big',
    dims: [BigInt(elements)],
    dataType: 10,
    dataLocation: 1,
    externalData: [{ key: 'location', value: 'hole.data' }],
  });
  const source = new FileSource(saved(modelWith({ ...product(20), initializer: [big] }), own));
  const { skipped, tensors } = survey(loadFrom(source), source, new Set());
  source.close();
  expect(skipped.map(({ reason }) => reason)).toEqual(reasons);
  expect(tensors).toHaveLength(1 - reasons.length);
});

test('sparse: nothing but zeros, float16 and float64 come back bit for bit', async () => {
  const halves = Uint16Array.from({ length: 4000 }, (_, index) => (index % 31 === 0 ? 0x3c00 + (index % 1000) : 0));
  const tensors = [
    rawTensor('zeros', [40, 50], new Float32Array(2000)),
    rawTensor('zeroHalves', [40, 50], new Uint16Array(2000), 10),
    rawTensor('half', [40, 100], halves, 10),
    rawTensor('double', [40, 100], Float64Array.from(sparseNumbers(4000, 31)), 11),
  ];
  const model = saved(
    modelWith({
      initializer: tensors,
      input: [info('x', [1])],
      output: [
        info('y', [1]),
        ...tensors.map(({ name, dims, dataType }) => info(`${name}_out`, dims.map(Number), dataType)),
      ],
      node: [
        { opType: 'Relu', input: ['x'], output: ['y'] },
        ...tensors.map(({ name }) => ({ opType: 'Identity', input: [name], output: [`${name}_out`] })),
      ],
    }),
  );
  const report = await pack(model, { output: at('types.onnx'), format: 'sparse' });
  expect(report.tensors.map(({ encoding }) => encoding)).toEqual(tensors.map(() => 'sparse'));
  expect(report.loadSeconds).toBeGreaterThan(0);
  expect(await outputsOf(at('types.onnx'), [1])).toEqual(await outputsOf(model, [1]));
  await unpack(at('types.onnx'), { output: at('types-dense.onnx') });
  expect(tensorsAt(at('types-dense.onnx'))).toEqual(tensorsAt(model));
});
