// The walk: accumulation, shared weights, errors, and a whole network.
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { LayerBuilder } from '../../models/layers.js';
import { buildLeNet5 } from '../../models/lenet5/build.js';
import { WeightSource } from '../../models/weights.js';
import { appendLoss } from '../../src/autodiff/losses.js';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { fillNormal, numbers } from '../models/support.js';
import { differences, type Feeds, noise, open, probe } from './support.js';

const floats = (dims: number[], values: readonly number[]) => new Tensor('float32', Float32Array.from(values), dims);
const labels = (values: readonly number[]) => new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);

test('paths add up: a value used three times, once through a branch', async () => {
  const g = GraphBuilder.create('paths');
  const x = g.input('x', 'float32', [2]);
  const w = g.initializer('w', [2], Float32Array.of(3, -5));
  const square = g.op('Mul', [w, w]); // w^2
  const loss = g.op('ReduceSum', [g.op('Add', [g.op('Mul', [square, x]), w])], { keepdims: 0 });
  const model = modelOf(g.graph, { opset: 17 });
  const feeds = { x: floats([2], [1, 2]) };
  const shapes = await probe(model, feeds);
  const { model: training, gradients } = buildTrainingGraph(model, { loss, wrt: [w, x], shapes });
  expect([...gradients.values()]).toEqual(['w_grad', 'x_grad']);
  expect(training.graph?.output.map(({ name }) => name)).toEqual([loss, 'w_grad', 'x_grad']);
  expect(model.graph?.initializer).toHaveLength(1);
  const run = await (await open(training)).run({ ...feeds, w: floats([2], [3, -5]) });
  expect([...(run['w_grad']!.data as Float32Array)]).toEqual([2 * 3 * 1 + 1, 2 * -5 * 2 + 1]);
  expect([...(run['x_grad']!.data as Float32Array)]).toEqual([9, 25]);
});

test('only what lies between targets and loss is differentiated; a target off the path gets zeros', async () => {
  const g = GraphBuilder.create('pruned');
  const x = g.input('x', 'float32', [2]);
  const w = g.initializer('w', [2], Float32Array.of(1, 2));
  const unused = g.initializer('unused', [3], Float32Array.of(1, 2, 3));
  g.op('Sinh', [w], {}, { name: 'beside' });
  const loss = g.op('ReduceSum', [g.op('Mul', [g.op('Sinh', [x], {}, { name: 'before' }), w])], { keepdims: 0 });
  const model = modelOf(g.graph, { opset: 17 });
  const feeds = { x: floats([2], [1, 2]) };
  const shapes = await probe(model, feeds);
  const { model: training } = buildTrainingGraph(model, { loss, wrt: [w, unused], shapes });
  const run = await (await open(training)).run({ ...feeds, w: floats([2], [1, 2]), unused: floats([3], [1, 2, 3]) });
  expect([...(run['unused_grad']!.data as Float32Array)]).toEqual([0, 0, 0]);
  expect((run['w_grad']!.data as Float32Array)[1]).toBeCloseTo(Math.sinh(2), 4);
});

test('a gradient that no rule would pass on is refused', async () => {
  const g = GraphBuilder.create('ignored');
  const x = g.input('x', 'float32', [2, 3]);
  const scale = g.float32([1, 2, 3]);
  const [, mean = ''] = g.ops('LayerNormalization', [x, scale], 2, {}, { name: 'norm' });
  const model = modelOf(g.graph, { opset: 17 });
  const loss = g.op('ReduceSum', [mean], { keepdims: 0 });
  const shapes = await probe(model, { x: floats([2, 3], [1, 2, 3, 4, 5, 6]) });
  expect(() => buildTrainingGraph(model, { loss, wrt: [x], shapes })).toThrow('output 1 of LayerNormalization (norm)');
});

test('integers carry no gradient, and a loss or target of integers is refused', async () => {
  const g = GraphBuilder.create('integers');
  const x = g.input('x', 'float32', [2]);
  const count = g.op('Cast', [g.op('Cast', [x], { to: 7 }, { name: 'whole' })], { to: 1 });
  const loss = g.op('ReduceSum', [g.op('Mul', [x, count])], {}, { name: 'loss' }); // keeps its dimension: [1]
  const model = modelOf(g.graph, { opset: 17 });
  const feeds = { x: floats([2], [3.5, 5.25]) };
  const shapes = await probe(model, feeds);
  const { model: training } = buildTrainingGraph(model, { loss, wrt: [x], shapes });
  expect([...((await (await open(training)).run(feeds))['x_grad']!.data as Float32Array)]).toEqual([3, 5]);
  expect(() => buildTrainingGraph(model, { loss, wrt: ['whole'], shapes })).toThrow('got int64');
});

test('float64 inside, and Cast both ways', async () => {
  const g = GraphBuilder.create('double');
  const x = g.input('x', 'float32', [2, 3]);
  const double = g.op('Cast', [x], { to: 11 });
  const norm = g.op('LayerNormalization', [double, g.constant([3], Float64Array.of(1, 2, 3))]);
  const relu = g.op('LeakyRelu', [g.op('Relu', [double])]);
  const y = g.op('Add', [g.op('Sigmoid', [norm]), g.op('Mul', [relu, g.op('Softmax', [double])])]);
  const loss = g.op('ReduceSum', [g.op('Cast', [g.op('Mul', [y, y])], { to: 1 })], { keepdims: 0 });
  const model = modelOf(g.graph, { opset: 17 });
  const feeds = { x: floats([2, 3], [0.5, -1, 2, 1.5, 0.25, -0.75]) };
  const { model: training } = buildTrainingGraph(model, { loss, wrt: [x], shapes: await probe(model, feeds) });
  const session = await open(training);
  const gradient = (await session.run(feeds))['x_grad']!;
  expect(gradient.type).toBe('float32');
  const slopes = await differences(feeds.x.data as Float32Array, async () =>
    Number((await session.run(feeds))[loss]!.data[0]),
  );
  for (const [index, slope] of slopes.entries()) expect((gradient.data as Float32Array)[index]).toBeCloseTo(slope, 2);
});

test('all unsupported operators are listed at once', async () => {
  const g = GraphBuilder.create('unsupported');
  const x = g.input('x', 'float32', [2]);
  const y = g.op('Cosh', [g.op('Sinh', [x], {}, { name: 'first' })], {}, { name: 'second' });
  const loss = g.op('ReduceSum', [y], { keepdims: 0 });
  const model = modelOf(g.graph, { opset: 17 });
  const shapes = await probe(model, { x: floats([2], [1, 2]) });
  expect(() => buildTrainingGraph(model, { loss, wrt: [x], shapes })).toThrow('got Sinh (first), Cosh (second)');
  expect(() => buildTrainingGraph(model, { loss: y, wrt: [x], shapes })).toThrow('to be a scalar, got shape [2]');
  expect(() => buildTrainingGraph(model, { loss: 'none', wrt: [x], shapes })).toThrow('got none');
  expect(() => buildTrainingGraph(model, { loss, wrt: [], shapes })).toThrow('at least one parameter');
});

test('LeNet-5: all eight gradients, and a batch of another size', async () => {
  const g = GraphBuilder.create('lenet5');
  buildLeNet5(new LayerBuilder(g, new WeightSource(5, fillNormal)), { classes: 10 });
  const model = modelOf(g.graph, { opset: 17 });
  const parameters: Feeds = Object.fromEntries(
    g.graph.initializer.map((item) => [item.name, new Tensor('float32', numbers(item).slice(), item.dims.map(Number))]),
  );
  const { loss } = appendLoss(model, { output: 'logits', loss: { type: 'crossEntropy', classes: 10 } });
  const batch = (size: number) => ({
    input: floats([size, 1, 28, 28], [...noise(size * 784, 3)].map(Math.abs)),
    target: labels(Array.from({ length: size }, (_, index) => index)),
  });
  const wrt = Object.keys(parameters);
  expect(wrt).toHaveLength(8);
  const shapes = await probe(model, batch(2));
  const { model: training, gradients } = buildTrainingGraph(model, { loss, wrt, shapes });
  const session = await open(training);
  const feeds = { ...batch(3), ...parameters };
  const run = await session.run(feeds);
  for (const name of wrt) {
    const gradient = run[gradients.get(name)!]!.data as Float32Array;
    // The steepest few: of those, float32 differences say enough.
    const indices = [...gradient.keys()].sort((a, b) => Math.abs(gradient[b]!) - Math.abs(gradient[a]!)).slice(0, 3);
    const slopes = await differences(
      parameters[name]!.data as Float32Array,
      async () => Number((await session.run(feeds, [loss]))[loss]!.data[0]),
      indices,
    );
    for (const [rank, index] of indices.entries()) {
      const error = Math.abs(gradient[index]! - slopes[rank]!) / Math.max(Math.abs(slopes[rank]!), 0.01);
      expect(error, `${name}[${index}]: ${gradient[index]} against ${slopes[rank]}`).toBeLessThan(0.03);
    }
  }
});
