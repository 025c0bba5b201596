// Training graphs in the runtime's blocked layout against the same in the usual one: outputs and all gradients.
import { Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { blocked } from '../../src/autodiff/opsets.js';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { type Attributes, float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { channelBlock } from '../../src/training/channel-block.js';
import { noise, open, probe } from './support.js';

const block = await channelBlock();
const b = block ?? 16;

interface Row {
  readonly title: string;
  /** @default 'Conv' */
  readonly op?: 'Conv' | 'ConvTranspose';
  readonly x: readonly number[];
  readonly weights: readonly number[];
  readonly attributes?: Attributes;
  /** Blocked convolutions: forward, to X and to the weights. */
  readonly convolutions: number;
}

const rows: Row[] = [
  { title: 'same size', x: [b, b, 5, 6], weights: [b, b, 3, 3], attributes: { pads: [1, 1, 1, 1] }, convolutions: 3 },
  {
    title: 'a batch of no whole blocks',
    x: [b + 3, b, 5, 5],
    weights: [2 * b, b, 3, 3],
    attributes: { pads: [1, 1, 1, 1] },
    convolutions: 3,
  },
  {
    title: 'uneven pads',
    x: [3, 2 * b, 6, 5],
    weights: [b, 2 * b, 3, 2],
    attributes: { pads: [0, 1, 2, 0] },
    convolutions: 3,
  },
  {
    title: 'strides',
    x: [3, b, 8, 7],
    weights: [b, b, 3, 3],
    attributes: { strides: [2, 3], pads: [1, 1, 1, 1] },
    convolutions: 2,
  },
  {
    title: 'pixels that no window reaches',
    x: [3, b, 8, 8],
    weights: [b, b, 2, 2],
    attributes: { strides: [3, 3] },
    convolutions: 2,
  },
  {
    title: 'dilations',
    x: [3, b, 7, 8],
    weights: [b, b, 3, 2],
    attributes: { dilations: [2, 3], pads: [2, 1, 2, 2] },
    convolutions: 2,
  },
  {
    title: 'SAME_UPPER',
    x: [3, b, 5, 5],
    weights: [b, b, 2, 3],
    attributes: { auto_pad: 'SAME_UPPER' },
    convolutions: 3,
  },
  {
    title: 'SAME_LOWER',
    x: [3, b, 6, 5],
    weights: [b, b, 2, 4],
    attributes: { auto_pad: 'SAME_LOWER' },
    convolutions: 3,
  },
  {
    title: 'strides with dilations',
    x: [3, b, 9, 8],
    weights: [b, b, 3, 2],
    attributes: { strides: [2, 1], dilations: [2, 3], pads: [1, 1, 2, 1] },
    convolutions: 1,
  },
  {
    title: 'ConvTranspose, whose dX is a convolution',
    op: 'ConvTranspose',
    x: [3, b, 4, 5],
    weights: [b, b, 3, 2],
    attributes: { strides: [2, 1], pads: [1, 0, 1, 1] },
    convolutions: 1,
  },
  { title: '1 x 1', x: [3, b, 4, 5], weights: [2 * b, b, 1, 1], convolutions: 2 },
  {
    title: 'fewer channels than a block',
    x: [3, 3, 6, 6],
    weights: [b, 3, 3, 3],
    attributes: { pads: [1, 1, 1, 1] },
    convolutions: 2,
  },
  {
    title: 'depthwise',
    x: [3, 2 * b, 6, 5],
    weights: [2 * b, 1, 3, 3],
    attributes: { group: 2 * b, pads: [1, 1, 1, 1] },
    convolutions: 2,
  },
  { title: 'channels that fill no blocks', x: [3, b + 1, 5, 5], weights: [b + 2, b + 1, 3, 3], convolutions: 0 },
];

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

async function gradients({ op = 'Conv', x, weights, attributes = {} }: Row, size: number | undefined) {
  const g = GraphBuilder.create('case');
  const outputs = weights[0] ?? 0;
  const shapes = { x, weights, bias: [outputs] };
  const names = Object.entries(shapes).map(([name, shape]) => g.input(name, 'float32', shape));
  const y = g.op(op, names, attributes, { name: 'y' });
  g.op('ReduceSum', [g.op('Mul', [y, g.op('Tanh', [y])])], { keepdims: 0 }, { name: 'loss' });
  const model = modelOf(g.graph, { opset: 17 });
  const feeds = Object.fromEntries(
    Object.entries(shapes).map(([name, shape], seed) => [
      name,
      new Tensor('float32', noise(elements(shape), seed + 1), [...shape]),
    ]),
  );
  const facts = await probe(model, feeds);
  const training = buildTrainingGraph(model, { loss: 'loss', wrt: names, shapes: facts, channelBlock: size });
  const session = await open(training.model);
  const results = await session.run(feeds);
  await session.release();
  const nodes = training.model.graph?.node ?? [];
  return {
    results,
    convolutions: nodes.filter(({ opType, domain }) => opType === 'Conv' && domain === blocked).length,
  };
}

type Results = Awaited<ReturnType<typeof gradients>>['results'];

function expectSame(usual: Results, inBlocks: Results): void {
  for (const [name, tensor] of Object.entries(usual)) {
    const [wanted, got] = [tensor.data as Float32Array, inBlocks[name]?.data as Float32Array];
    const scale = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const worst = wanted.reduce((most, value, index) => Math.max(most, Math.abs(value - (got[index] ?? 0))), 0);
    expect([name, got.length, worst < 1e-5 * scale]).toEqual([name, wanted.length, true]);
  }
}

/** Two convolutions with BatchNormalization and a shortcut, and the statistics of their batches as outputs. */
function residualBlock(training: 0 | 1) {
  const g = GraphBuilder.create('block');
  const shapes: Record<string, readonly number[]> = { x: [3, b, 6, 5] };
  const statistics: string[] = [];
  const unit = (x: string, name: string) => {
    const own = ['scale', 'offset', 'mean', 'variance'].map((what) => `${name}.${what}`);
    Object.assign(shapes, { [`${name}.weights`]: [b, b, 3, 3] }, Object.fromEntries(own.map((each) => [each, [b]])));
    for (const input of [`${name}.weights`, ...own]) g.input(input, 'float32', shapes[input] ?? []);
    const y = g.op('Conv', [x, `${name}.weights`], { pads: [1, 1, 1, 1] });
    if (training === 0) return g.op('BatchNormalization', [y, ...own.slice(0, 2), ...positive(own.slice(2))]);
    const attributes = { training_mode: 1, momentum: float(0) };
    const [z = '', ...batch] = g.ops(
      'BatchNormalization',
      [y, ...own.slice(0, 2), ...positive(own.slice(2))],
      3,
      attributes,
    );
    statistics.push(...batch);
    return z;
  };
  // The operator writes new statistics over those that it is given.
  const positive = ([mean = '', variance = '']: readonly string[]) => [g.op('Neg', [mean]), g.op('Exp', [variance])];
  g.input('x', 'float32', shapes.x ?? []);
  const hidden = g.op('Relu', [unit('x', 'first')]);
  const y = g.op('LeakyRelu', [g.op('Add', [unit(hidden, 'second'), 'x'])], { alpha: float(0.1) });
  g.op('ReduceSum', [g.op('Mul', [y, g.op('Tanh', [y])])], { keepdims: 0 }, { name: 'loss' });
  return { model: modelOf(g.graph, { opset: 17 }), shapes, statistics };
}

async function blockGradients(training: 0 | 1, size: number | undefined) {
  const { model, shapes, statistics } = residualBlock(training);
  const feeds = Object.fromEntries(
    Object.entries(shapes).map(([name, shape], seed) => {
      return [name, new Tensor('float32', noise(elements(shape), seed + 1), [...shape])];
    }),
  );
  const facts = await probe(model, feeds);
  const running = new Map(statistics.map((value) => [value, value]));
  const wrt = Object.keys(shapes).filter((name) => !/mean|variance/.test(name));
  const built = buildTrainingGraph(model, { loss: 'loss', wrt, shapes: facts, running, channelBlock: size });
  const session = await open(built.model);
  const results = await session.run(feeds);
  await session.release();
  const nodes = built.model.graph?.node ?? [];
  return { results, count: (opType: string) => nodes.filter((node) => node.opType === opType).length };
}

describe.skipIf(block === undefined)('blocks of channels', () => {
  test('a residual block stays in blocks', async () => {
    const [usual, inBlocks] = [await blockGradients(1, undefined), await blockGradients(1, b)];
    expect(usual.count('BatchNormalization')).toBeGreaterThan(2);
    expect(Object.keys(usual.results)).toHaveLength(1 + 7 + 4);
    expectSame(usual.results, inBlocks.results);
    // Relu, Add and LeakyRelu are part of convolutions. X, dY and the images of dW come in; y, dX and dW go out.
    const counts = ['BatchNormalization', 'Relu', 'LeakyRelu', 'ReorderInput', 'ReorderOutput'].map(inBlocks.count);
    expect(counts).toEqual([0, 0, 0, 4, 4]);
  });

  test('a residual block with fixed statistics', async () => {
    const [usual, inBlocks] = [await blockGradients(0, undefined), await blockGradients(0, b)];
    expectSame(usual.results, inBlocks.results);
    expect(inBlocks.count('Relu')).toBe(0);
  });

  test.each(rows)('$title', async (row) => {
    const [usual, inBlocks] = [await gradients(row, undefined), await gradients(row, b)];
    expect([usual.convolutions, inBlocks.convolutions]).toEqual([0, row.convolutions]);
    expect(Object.keys(usual.results)).toHaveLength(4);
    expectSame(usual.results, inBlocks.results);
  });
});
