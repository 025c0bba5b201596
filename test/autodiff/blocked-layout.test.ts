// Training graphs in the runtime's blocked layout against the same in the usual one: outputs and all gradients.
import { Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { blocked } from '../../src/autodiff/opsets.js';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import type { Attributes } from '../../src/onnx/build/attributes.js';
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

describe.skipIf(block === undefined)('blocks of channels', () => {
  test.each(rows)('$title', async (row) => {
    const [usual, inBlocks] = [await gradients(row, undefined), await gradients(row, b)];
    expect([usual.convolutions, inBlocks.convolutions]).toEqual([0, row.convolutions]);
    expect(Object.keys(usual.results)).toHaveLength(4);
    for (const [name, tensor] of Object.entries(usual.results)) {
      const [wanted, got] = [tensor.data as Float32Array, inBlocks.results[name]?.data as Float32Array];
      const scale = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const worst = wanted.reduce((most, value, index) => Math.max(most, Math.abs(value - (got[index] ?? 0))), 0);
      expect([name, got.length, worst < 1e-5 * scale]).toEqual([name, wanted.length, true]);
    }
  });
});
