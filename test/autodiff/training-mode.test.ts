// Models in training mode: batch statistics, running statistics, Dropout, and operator sets raised on the way.
import { toBinary } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { raiseOpset } from '../../src/autodiff/raise-opset.js';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { toTrainingMode } from '../../src/autodiff/training-mode.js';
import { float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { differences, type Feeds, noise, open, probe } from './support.js';

const floats = (dims: number[], values: Iterable<number>) => new Tensor('float32', Float32Array.from(values), dims);
const data = (tensor: Tensor | undefined) => [...(tensor!.data as Float32Array)];

/** x [N, 2, 2, 3] twice through one normalisation, with Tanh between: no kinks. */
function siamese(opset: number) {
  const g = GraphBuilder.create('norm');
  const x = g.input('x', 'float32', ['N', 2, 2, 3]);
  const parameters = [
    g.initializer('scale', [2], Float32Array.of(1.5, -0.5)),
    g.initializer('bias', [2], Float32Array.of(0.25, 0.5)),
    g.initializer('mean', [2], Float32Array.of(10, -10)),
    g.initializer('variance', [2], Float32Array.of(2, 3)),
  ];
  const attributes = { momentum: float(0.75), epsilon: float(0.01) };
  const once = g.op('BatchNormalization', [x, ...parameters], attributes, { name: 'first' });
  const twice = g.op('BatchNormalization', [g.op('Tanh', [once]), ...parameters], attributes, { name: 'second' });
  const loss = g.op('ReduceMean', [g.op('Mul', [twice, g.op('Mul', [twice, twice])])], { keepdims: 0 });
  g.output(loss, 'float32', []);
  return { model: modelOf(g.graph, { opset }), loss };
}

test.each([11, 13, 15, 17, 21])('batch statistics, running ones and gradients at opset %i', async (opset) => {
  const { model, loss } = siamese(opset === 21 ? 17 : opset);
  if (opset === 21) model.opsetImport[0]!.version = 21n;
  const before = toBinary(ModelProtoSchema, model);
  const { model: training, running } = toTrainingMode(model);
  expect(toBinary(ModelProtoSchema, model)).toEqual(before);
  expect([...running.keys()]).toEqual(['mean', 'variance']);
  const wrt = ['x', 'scale', 'bias'];
  const shapes = await probe(training, { x: floats([2, 2, 2, 3], noise(24, 1)) });
  const built = buildTrainingGraph(training, { loss, wrt, shapes, running });
  expect(built.model.graph!.initializer).toEqual([]);
  const session = await open(built.model);
  const feeds: Feeds = {
    x: floats([5, 2, 2, 3], noise(60, 2)),
    scale: floats([2], [1.5, -0.5]),
    bias: floats([2], [0.25, 0.5]),
    mean: floats([2], [10, -10]),
    variance: floats([2], [2, 3]),
  };
  const run = await session.run(feeds);
  expect([data(feeds['mean']), data(feeds['variance'])]).toEqual([
    [10, -10],
    [2, 3],
  ]);
  for (const name of wrt) {
    const slopes = await differences(
      feeds[name]!.data as Float32Array,
      async () => data((await session.run(feeds, [loss]))[loss])[0]!,
    );
    const gradient = data(run[`${name}_grad`]);
    const scale = Math.max(...slopes.map(Math.abs));
    for (const [index, slope] of slopes.entries())
      expect(Math.abs(gradient[index]! - slope)).toBeLessThan(2e-3 * scale);
  }
  // Both nodes update the statistics, one after the other.
  const image = data(feeds['x']);
  for (const channel of [0, 1]) {
    let values = image.filter((_, index) => Math.floor(index / 6) % 2 === channel);
    let [mean, variance] = [channel === 0 ? 10 : -10, channel === 0 ? 2 : 3];
    for (const _ of ['first', 'second']) {
      const batchMean = values.reduce((sum, value) => sum + value, 0) / 30;
      const batchVariance = values.reduce((sum, value) => sum + (value - batchMean) ** 2, 0) / 30;
      mean = 0.75 * mean + 0.25 * batchMean;
      variance = 0.75 * variance + 0.25 * batchVariance;
      const [scale, bias] = channel === 0 ? [1.5, 0.25] : [-0.5, 0.5];
      values = values.map((value) => Math.tanh((scale * (value - batchMean)) / Math.sqrt(batchVariance + 0.01) + bias));
    }
    expect(data(run[running.get('mean')!])[channel]).toBeCloseTo(mean, 5);
    expect(data(run[running.get('variance')!])[channel]).toBeCloseTo(variance, 5);
  }
});

test('frozen statistics stay in the model, and nothing is updated', async () => {
  const { model, loss } = siamese(17);
  const { model: training, running } = toTrainingMode(model, { statistics: 'frozen' });
  expect(running.size).toBe(0);
  const x = floats([2, 2, 2, 3], noise(24, 1));
  expect(data((await (await open(training)).run({ x }))[loss])).toEqual(
    data((await (await open(model)).run({ x }))[loss]),
  );
});

test('updated statistics keep the names that a model in training mode gave them', async () => {
  const g = GraphBuilder.create('named');
  const x = g.input('x', 'float32', [4, 1]);
  const [one, zero] = [Float32Array.of(1), Float32Array.of(0)];
  const inputs = [x, g.float32([1]), g.float32([0]), g.initializer('m', [1], zero), g.initializer('v', [1], one)];
  g.ops(
    'BatchNormalization',
    inputs,
    3,
    { training_mode: 1, momentum: float(0.5) },
    { outputs: ['y', 'newM', 'newV'] },
  );
  g.output(g.op('Mul', ['newM', g.float32(2)], {}, { name: 'twice' }), 'float32', [1]);
  const { model, running } = toTrainingMode(modelOf(g.graph, { opset: 15 }));
  expect([...running]).toEqual([
    ['m', 'newM'],
    ['v', 'newV'],
  ]);
  const run = await (await open(model)).run({ x: floats([4, 1], [1, 2, 3, 6]) });
  expect(data(run['twice'])).toEqual([3]);
});

test.each([11, 12, 13])(
  'Dropout drops by the seed, and its gradient passes where it did not, opset %i',
  async (opset) => {
    const g = GraphBuilder.create('dropout');
    const x = g.input('x', 'float32', ['N', 50]);
    const ratio = opset < 12 ? [] : [g.float32(0.25)];
    const y = g.op('Dropout', [x, ...ratio], opset < 12 ? { ratio: float(0.25) } : {}, { name: 'y' });
    const loss = g.op('ReduceSum', [y], { keepdims: 0 });
    g.output(y, 'float32', ['N', 50]);
    g.output(loss, 'float32', []);
    const model = modelOf(g.graph, { opset });
    const once = async (seed: number) => {
      const { model: training } = toTrainingMode(model, { seed });
      const shapes = await probe(training, { x: floats([2, 50], new Array(100).fill(1)) });
      const built = buildTrainingGraph(training, { loss, wrt: ['x'], shapes });
      const run = await (await open(built.model)).run({ x: floats([2, 50], new Array(100).fill(1)) });
      return { gradient: data(run['x_grad']), loss: data(run[loss])[0]! };
    };
    const [first, again, other] = [await once(7), await once(7), await once(8)];
    expect(first.gradient).toEqual(again.gradient);
    expect(first.gradient).not.toEqual(other.gradient);
    expect(new Set(first.gradient.map((value) => value.toFixed(4)))).toEqual(new Set(['0.0000', '1.3333']));
    expect(first.gradient.reduce((sum, value) => sum + value, 0)).toBeCloseTo(first.loss, 3);
    const inference = buildTrainingGraph(model, {
      loss,
      wrt: ['x'],
      shapes: await probe(model, { x: floats([2, 50], noise(100, 1)) }),
    });
    const run = await (await open(inference.model)).run({ x: floats([2, 50], noise(100, 1)) });
    expect(data(run['x_grad'])).toEqual(new Array(100).fill(1));
  },
);

test.each([11, 12])('opset %i is raised without a change of meaning', async (opset) => {
  const g = GraphBuilder.create('old');
  const x = g.input('x', 'float32', ['N', 4, 3]);
  const scores = ['Softmax', 'LogSoftmax', 'Hardmax'].flatMap((op) =>
    [0, 1, -2, -1].map((axis) => g.op(op, [x], { axis })),
  );
  const sum = g.op('ReduceSum', [g.op('Sum', scores)], { axes: [-1], keepdims: 1 });
  const [left = '', right = ''] = g.ops('Split', [g.op('Squeeze', [sum], { axes: [2] })], 2, {
    axis: 1,
    split: [1, 3],
  });
  const y = g.op('Mul', [g.op('Unsqueeze', [left], { axes: [0] }), g.op('Dropout', [right])], {}, { name: 'y' });
  g.output(y, 'float32', [1, 'N', 3]);
  const model = modelOf(g.graph, { opset });
  const feeds = { x: floats([5, 4, 3], noise(60, 4)) };
  const wanted = data((await (await open(model)).run(feeds))['y']);
  raiseOpset(model);
  expect(model.opsetImport).toMatchObject([{ domain: '', version: 16n }]);
  const got = data((await (await open(model)).run(feeds))['y']);
  for (const [index, value] of wanted.entries()) expect(got[index]).toBeCloseTo(value, 6);
});

test('operator sets before 11 are refused', () => {
  const { model } = siamese(10);
  expect(() => toTrainingMode(model)).toThrow('Expected operator set 11 or later, got 10');
});
