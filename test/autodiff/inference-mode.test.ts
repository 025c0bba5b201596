// Models exported for training, turned back: evaluated by learned statistics, with nothing dropped.
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { toInferenceMode } from '../../src/autodiff/inference-mode.js';
import { float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { evaluate } from '../../src/training/evaluate.js';
import { prepareTraining } from '../../src/training/trainable.js';
import { open } from './support.js';

const values = { scale: 2, bias: 0, m: 3, v: 4 };

/** y = 2 dropout((x - 3) / 2), exported for training; `updated` is the running mean. */
function exported(opset: number) {
  const g = GraphBuilder.create('exported');
  const x = g.input('x', 'float32', ['N', 2]);
  const parameters = Object.entries(values).map(([name, value]) =>
    g.initializer(name, [2], Float32Array.of(value, value)),
  );
  const attributes = { epsilon: float(0), ...(opset >= 14 && { training_mode: 1 }) };
  const [y = '', mean = ''] = g.ops('BatchNormalization', [x, ...parameters], 3, attributes);
  const yes = g.op('Cast', [g.int64(1)], { to: 9 });
  const dropped = g.op('Dropout', [y, g.float32(0.5), yes]);
  g.output(g.op('Identity', [dropped], {}, { name: 'y' }), 'float32', ['N', 2]);
  const updated = g.op('Identity', [mean], {}, { name: 'updated' });
  return { model: modelOf(g.graph, { opset }), g, updated };
}

const x = { data: Float32Array.of(3, 5, 7, 1), dims: [2, 2] };
const wanted = [0, 2, 4, -2];

test.each([13, 14, 17])('inference by learned statistics, opset %i', async (opset) => {
  const { model, g, updated } = exported(opset);
  g.output(updated, 'float32', [2]);
  const run = await (await open(toInferenceMode(model))).run({ x: new Tensor('float32', x.data, x.dims) });
  expect([...(run['y']!.data as Float32Array)]).toEqual(wanted);
  expect([...(run['updated']!.data as Float32Array)]).toEqual([3, 3]);
  expect(model.graph!.node.find(({ opType }) => opType === 'Dropout')!.input).toHaveLength(3);
});

test('evaluate, and the evaluation graph of training, infer', async () => {
  const { model } = exported(17);
  const target = { data: Float32Array.of(1, 3, 5, -1), dims: [2, 2] };
  expect((await evaluate(model, [{ x, target }], { loss: 'mse' })).loss).toBe(1);
  const { evaluation, loss, buffers } = await prepareTraining(model, { loss: 'mse' });
  expect(buffers.map(({ name }) => name)).toEqual(['m', 'v']);
  const tensor = ({ data, dims }: typeof x) => new Tensor('float32', data, dims);
  const parameters = Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, new Tensor('float32', Float32Array.of(value, value), [2])]),
  );
  const feeds = { x: tensor(x), target: tensor(target), ...parameters };
  expect((await (await open(evaluation)).run(feeds))[loss]!.data[0]).toBe(1);
});
