// What packing does with the rest of a model: strings, data files of its own, and inputs of old IR versions.
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { materialize } from '../../src/onnx/payload.js';
import { readModel } from '../../src/onnx/load.js';
import { TensorProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { pack, packWithin } from '../../src/pack/pack.js';
import { unpack } from '../../src/pack/unpack.js';
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
  const full = rawTensor('full', [50, 50], Float32Array.from({ length: 2500 }, (_, index) => index + 1));
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
