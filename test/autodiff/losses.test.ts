// Losses against plain arithmetic, their gradients against differences, and what is refused.
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { appendLoss, type LossOptions } from '../../src/autodiff/losses.js';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { differences, type Feeds, noise, open, probe } from './support.js';

const floats = (dims: number[], values: Iterable<number>) => new Tensor('float32', Float32Array.from(values), dims);
const labels = (values: readonly number[], dims = [values.length]) =>
  new Tensor('int64', BigInt64Array.from(values, BigInt), dims);

/** A model that hands x on as y. */
function passing(dims: (number | string)[], opset = 17) {
  const g = GraphBuilder.create('passing');
  const x = g.input('x', 'float32', dims);
  g.output(g.op('Identity', [x], {}, { outputs: ['y'] }), 'float32', dims);
  return modelOf(g.graph, { opset });
}

async function check(model: ReturnType<typeof passing>, options: LossOptions, feeds: Feeds, wanted: number) {
  const { loss: name } = appendLoss(model, options);
  const shapes = await probe(model, feeds);
  const { model: training } = buildTrainingGraph(model, { loss: name, wrt: ['x'], shapes });
  const session = await open(training);
  const run = await session.run(feeds);
  expect(run[name]!.dims).toEqual([]);
  expect((run[name]!.data as Float32Array)[0]).toBeCloseTo(wanted, 5);
  const gradient = [...(run['x_grad']!.data as Float32Array)];
  const slopes = await differences(feeds['x']!.data as Float32Array, async () => {
    return Number((await session.run(feeds))[name]!.data[0]);
  });
  for (const [index, slope] of slopes.entries()) expect(gradient[index]).toBeCloseTo(slope, 3);
}

const z = [
  [1, -2, 0.5],
  [0, 3, -1],
  [2, 2, -4],
  [0.5, 0.25, 0],
];
const softplus = (value: number) => Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value)));
const targets = [0, 1, 0.5, 1, 1, 0, 0, 0, 1, 0, 0.25, 0];
const mean = (f: (output: number, target: number) => number) =>
  z.flat().reduce((sum, value, index) => sum + f(value, targets[index]!), 0) / 12;
const logSoftmax = (row: readonly number[], at: number) =>
  row[at]! - Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
const weights = [1, 2, 0.5];

const losses: [LossOptions['loss'], Tensor, number][] = [
  [{ type: 'mse' }, floats([4, 3], targets), mean((o, t) => (o - t) ** 2)],
  [{ type: 'l1' }, floats([4, 3], targets), mean((o, t) => Math.abs(o - t))],
  [{ type: 'bceWithLogits' }, floats([4, 3], targets), mean((o, t) => t * softplus(-o) + (1 - t) * softplus(o))],
  [
    { type: 'crossEntropy' },
    labels([2, 1, 0, 2]),
    -(logSoftmax(z[0]!, 2) + logSoftmax(z[1]!, 1) + logSoftmax(z[2]!, 0) + logSoftmax(z[3]!, 2)) / 4,
  ],
  // -100 is ignored; what is no class counts nothing either.
  [{ type: 'crossEntropy', classes: 3 }, labels([2, -1, 3, -100]), -logSoftmax(z[0]!, 2)],
  [
    { type: 'crossEntropy', classes: 3, ignoreIndex: 1, classWeights: weights },
    labels([2, 1, 0, 2]),
    -(0.5 * logSoftmax(z[0]!, 2) + logSoftmax(z[2]!, 0) + 0.5 * logSoftmax(z[3]!, 2)) / 2,
  ],
  [
    { type: 'crossEntropy', classes: 3, labelSmoothing: 0.3, classWeights: weights },
    labels([-100, 1, -100, -100]),
    -(0.7 * 2 * logSoftmax(z[1]!, 1) + 0.1 * weights.reduce((sum, w, c) => sum + w * logSoftmax(z[1]!, c), 0)) / 2,
  ],
  [
    { type: 'crossEntropy', labelSmoothing: 0.3 },
    labels([-100, 1, -100, -100]),
    -(0.7 * logSoftmax(z[1]!, 1) + 0.1 * [0, 1, 2].reduce((sum, c) => sum + logSoftmax(z[1]!, c), 0)),
  ],
];

test.each(losses.map((item) => [JSON.stringify(item[0]), item] as const))(
  'loss %s',
  async (_, [loss, target, value]) => {
    await check(passing(['N', 3]), { output: 'y', loss }, { x: floats([4, 3], z.flat()), target }, value);
  },
);

test.each([11, 17])('cross entropy of a class a pixel, opset %i', async (opset) => {
  // [N, C, pixels] with the rows of z as pixels
  const pixels = [0, 1].flatMap((n) => [0, 1, 2].flatMap((c) => [0, 1].map((p) => z[2 * n + p]![c]!)));
  const wanted = -(logSoftmax(z[0]!, 2) + logSoftmax(z[1]!, 1) + logSoftmax(z[3]!, 2)) / 3;
  const feeds = { x: floats([2, 3, 2], pixels), target: labels([2, 1, -100, 2], [2, 2]) };
  await check(passing(['N', 3, 2], opset), { output: 'y', loss: { type: 'crossEntropy' } }, feeds, wanted);
});

test('binary cross entropy neither overflows nor loses its slope at 0', async () => {
  const model = passing([3]);
  const feeds = { x: floats([3], [200, -200, 0]), target: floats([3], [0, 1, 1]) };
  const { loss } = appendLoss(model, { output: 'y', loss: { type: 'bceWithLogits' } });
  const { model: training } = buildTrainingGraph(model, { loss, wrt: ['x'], shapes: await probe(model, feeds) });
  const run = await (await open(training)).run(feeds);
  expect((run[loss]!.data as Float32Array)[0]).toBeCloseTo((400 + Math.log(2)) / 3, 4);
  for (const [index, slope] of [1 / 3, -1 / 3, -1 / 6].entries()) {
    expect((run['x_grad']!.data as Float32Array)[index]).toBeCloseTo(slope, 6);
  }
});

test('classes of probability 0 have neither loss nor slope, unless one is the label', async () => {
  const model = passing(['N', 3]);
  const rows = [1, Number.NEGATIVE_INFINITY, 1, 0, 0, Number.NEGATIVE_INFINITY];
  const feeds = { x: floats([2, 3], rows), target: labels([0, -100]) };
  const { loss } = appendLoss(model, { output: 'y', loss: { type: 'crossEntropy' } });
  const { model: training } = buildTrainingGraph(model, { loss, wrt: ['x'], shapes: await probe(model, feeds) });
  const session = await open(training);
  const run = await session.run(feeds);
  expect(run[loss]!.data[0]).toBeCloseTo(Math.log(2), 6);
  for (const [index, slope] of [-0.5, 0, 0.5, 0, 0, 0].entries()) {
    expect((run['x_grad']!.data as Float32Array)[index]).toBeCloseTo(slope, 6);
  }
  const wrong = await session.run({ ...feeds, target: labels([1, -100]) });
  expect(wrong[loss]!.data[0]).toBe(Number.POSITIVE_INFINITY);
});

/** mean(mask * scale * (prediction - wanted)^2), of shape [1]. */
function weightedSquares(opset: number, prediction: string) {
  const g = GraphBuilder.create('squares');
  const [y, wanted] = [g.input(prediction, 'float32', ['N', 2]), g.input('wanted', 'float32', ['N', 2])];
  const mask = g.input('mask', 'float32', ['N', 1]);
  const difference = g.op('Sub', [y, wanted], {}, { name: 'x' }); // a name that the model has too
  const scaled = g.op('Mul', [
    g.op('Mul', [difference, difference]),
    g.initializer('scale', [2], Float32Array.of(1, 3)),
  ]);
  g.output(g.op('ReduceMean', [g.op('Mul', [mask, scaled])]), 'float32', [1, 1]);
  return modelOf(g.graph, { opset });
}

test.each([
  ['by name', 'y', undefined],
  ['as told', 'prediction', { prediction: 'y' }],
])('a graph as loss, its input bound %s', async (_, prediction, inputs) => {
  const loss = { type: 'graph' as const, model: weightedSquares(17, prediction), ...(inputs && { inputs }) };
  const model = passing(['N', 2]);
  const feeds = {
    x: floats([2, 2], [1, 2, 3, 4]),
    wanted: floats([2, 2], [0, 0, 1, 1]),
    mask: floats([2, 1], [1, 0.5]),
  };
  await check(model, { output: 'y', loss }, feeds, (1 + 3 * 4 + 0.5 * (4 + 3 * 9)) / 4);
  expect(model.graph!.initializer).toEqual([]);
  expect(model.graph!.input.map(({ name }) => name)).toEqual(['x', 'wanted', 'mask']);
});

test('names that the model has are left to it', async () => {
  const g = GraphBuilder.create('named');
  const x = g.input('x', 'float32', ['N', 3]);
  const names = ['loss', 'x_grad', 'loss.LogSoftmax', 'loss.Equal', 'constant.float32_1'];
  const y = names.reduce((value, name) => g.op('Neg', [value], {}, { name }), x);
  g.output(g.op('Neg', [y], {}, { name: 'y' }), 'float32', ['N', 3]);
  const model = modelOf(g.graph, { opset: 17 });
  const feeds = { x: floats([4, 3], z.flat()), labels: labels([2, 1, 0, 2]) };
  const { loss } = appendLoss(model, { output: 'y', loss: { type: 'crossEntropy' }, target: 'labels' });
  expect(loss).toBe('loss_1');
  const shapes = await probe(model, feeds);
  const { model: training, gradients } = buildTrainingGraph(model, { loss, wrt: [x], shapes });
  expect(gradients.get(x)).toBe('x_grad_1');
  const run = await (await open(training)).run(feeds);
  expect(run[loss]!.data[0]).toBeCloseTo(Number(losses[3]![2]), 5);
});

test('what does not fit is refused', () => {
  const loss = { type: 'crossEntropy' as const };
  const append = (options: Partial<LossOptions>, model = passing(['N', 3])) =>
    appendLoss(model, { output: 'y', loss, ...options });
  expect(() => append({ output: 'x' })).toThrow('Expected a computed value of the model for the loss, got x');
  expect(() => append({ target: 'y' })).toThrow('Expected an unused name for the targets, got y');
  expect(() => append({}, passing(['N', 'C']))).toThrow('Expected the number of classes of y');
  expect(() => append({ loss: { ...loss, classWeights: [1] } })).toThrow('one weight for each of 3 classes, got 1');
  expect(() => append({ loss: { ...loss, labelSmoothing: 1 } })).toThrow('labelSmoothing to be a number in [0, 1)');
  const graph = (model: ReturnType<typeof passing>, inputs = {}) => ({
    loss: { type: 'graph' as const, model, inputs },
  });
  expect(() => append(graph(weightedSquares(13, 'y')))).toThrow("the model's operator set ai.onnx 17, got 13");
  expect(() => append(graph(weightedSquares(17, 'z')))).toThrow(
    'with an output of the model as input, got z, wanted, mask',
  );
  expect(() => append(graph(weightedSquares(17, 'z'), { z: 'nothing' }))).toThrow(
    'got nothing for a value of the model',
  );
  expect(() => append(graph(weightedSquares(17, 'z'), { y: 'y' }))).toThrow('got y for an input of the loss');
  const two = weightedSquares(17, 'y');
  two.graph!.output.push(two.graph!.output[0]!);
  expect(() => append(graph(two))).toThrow('Expected a loss with one output, got 2');
});

test('a loss may be of rank 0, 1 or 2 if it has one element', async () => {
  for (const dims of [[], [1], [1, 1]]) {
    const g = GraphBuilder.create('scalar');
    const x = g.input('x', 'float32', dims);
    const loss = g.op('Mul', [x, x]);
    const model = modelOf(g.graph, { opset: 17 });
    const feeds = { x: floats(dims, noise(1, 1)) };
    const { model: training } = buildTrainingGraph(model, { loss, wrt: [x], shapes: await probe(model, feeds) });
    const run = await (await open(training)).run(feeds);
    expect(run['x_grad']!.dims).toEqual(dims);
    expect(run['x_grad']!.data[0]).toBeCloseTo(2 * Number(feeds.x.data[0]), 6);
  }
});
