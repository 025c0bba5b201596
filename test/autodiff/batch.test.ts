// A training graph made from a batch of 2 runs with other batches: no rule may take the batch's size from the probe.
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { type Attributes, float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder, type Value } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { channelBlock } from '../../src/training/channel-block.js';
import { type Feeds, noise, open, probe } from './support.js';

const block = await channelBlock();
const b = block ?? 8;

type Build = (g: GraphBuilder, x: Value) => Value;
const one =
  (opType: string, inputs: (g: GraphBuilder, x: Value) => (Value | null)[], attributes: Attributes = {}): Build =>
  (g, x) =>
    g.op(opType, inputs(g, x), attributes);
const alone = (opType: string, attributes: Attributes = {}) => one(opType, (_, x) => [x], attributes);
const weights = (g: GraphBuilder, shape: number[]) =>
  g.initializer(
    'w',
    shape,
    noise(
      shape.reduce((product, size) => product * size, 1),
      5,
    ),
  );
const vector = (g: GraphBuilder, fill: number) => g.float32([fill, fill + 1, fill]);

/** On x [N, 3, 4, 4]. */
const graphs: Record<string, Build> = {
  'Add of a vector': one('Add', (g, x) => [x, weights(g, [4])]),
  AveragePool: alone('AveragePool', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }),
  'AveragePool, tiles': alone('AveragePool', { kernel_shape: [2, 2], strides: [2, 2] }),
  BatchNormalization: (g, x) =>
    g.ops('BatchNormalization', [x, weights(g, [3]), vector(g, 1), vector(g, 0), vector(g, 1)], 3, {
      training_mode: 1,
    })[0]!,
  'Concat along the batch': one('Concat', (_, x) => [x, x], { axis: 0 }),
  Concat: (g, x) => g.op('Concat', [x, g.op('Neg', [x])], { axis: 1 }),
  Expand: (g, x) => g.op('Expand', [g.op('ReduceMean', [x], { axes: [1] }), g.int64([1, 3, 1, 1])]),
  'Expand over the batch': (g, x) => g.op('Mul', [g.op('Expand', [weights(g, [1, 3, 1, 1]), g.op('Shape', [x])]), x]),
  Flatten: (g, x) => g.op('Gemm', [g.op('Flatten', [x]), weights(g, [48, 2]), g.float32([1, 2])]),
  'Flatten to one row': (g, x) => g.op('Flatten', [x], { axis: 0 }),
  Gather: one('Gather', (g, x) => [x, g.int64([2, 0, 2])], { axis: 1 }),
  GatherND: one(
    'GatherND',
    (g, x) => [
      x,
      g.op('Expand', [
        g.constant([1, 2, 2], BigInt64Array.of(0n, 1n, 2n, -1n)),
        g.op('Concat', [g.op('Slice', [g.op('Shape', [x]), g.int64([0]), g.int64([1])]), g.int64([2, 2])], { axis: 0 }),
      ]),
    ],
    { batch_dims: 1 },
  ),
  GlobalAveragePool: alone('GlobalAveragePool'),
  GlobalMaxPool: alone('GlobalMaxPool'),
  InstanceNormalization: one('InstanceNormalization', (g, x) => [x, weights(g, [3]), vector(g, 0)]),
  LayerNormalization: one('LayerNormalization', (g, x) => [x, weights(g, [4]), g.float32([0, 1, 2, 3])]),
  'MatMul of batches': (g, x) => g.op('MatMul', [x, g.op('Transpose', [x], { perm: [0, 1, 3, 2] })]),
  MaxPool: alone('MaxPool', { kernel_shape: [2, 2], strides: [2, 2] }),
  'MaxPool, overlapping': alone('MaxPool', { kernel_shape: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1] }),
  Mean: (g, x) => g.op('Mean', [x, weights(g, [1]), g.op('Neg', [x])]),
  Pad: one('Pad', (g, x) => [x, g.int64([0, 1, 0, -1, 0, 0, 2, 0])]),
  'Pad, reflect': one('Pad', (g, x) => [x, g.int64([0, 0, 1, 2, 0, 0, 3, 0])], { mode: 'reflect' }),
  'ReduceMean of the batch': alone('ReduceMean', { axes: [0, 2, 3] }),
  'ReduceMax of all': alone('ReduceMax', { keepdims: 0 }),
  Reshape: one('Reshape', (g, x) => [x, g.int64([0, 2, -1])]),
  'Reshape, batch merged': one('Reshape', (g, x) => [x, g.int64([-1, 2])]),
  Resize: one('Resize', (g, x) => [x, null, g.float32([1, 1, 2, 1.5])], { mode: 'linear' }),
  'Slice in steps': one('Slice', (g, x) => [x, g.int64([1, 3]), g.int64([9, -9]), g.int64([2, 3]), g.int64([2, -1])]),
  'Slice of the batch': one('Slice', (g, x) => [x, g.int64([-2]), g.int64([99])]),
  Softmax: alone('Softmax', { axis: 1 }),
  Split: (g, x) => g.op('Mul', g.ops('Split', [x, g.int64([2, 2])], 2, { axis: -1 })),
  Tile: one('Tile', (g, x) => [x, g.int64([2, 1, 2, 1])]),
  Where: one('Where', (g, x) => [g.op('Greater', [x, g.float32(0.1)]), x, weights(g, [3, 1, 1])]),
  PRelu: one('PRelu', (g, x) => [x, weights(g, [3, 1, 1])]),
  HardSwish: alone('HardSwish'),
  Elu: alone('Elu', { alpha: float(0.5) }),
  Conv: (g, x) => g.op('Conv', [x, weights(g, [b, 3, 3, 3])], { pads: [1, 1, 1, 1] }),
  'Conv of whole blocks': (g, x) =>
    g.op('Conv', [g.op('Concat', new Array(b).fill(x), { axis: 1 }), weights(g, [b, 3 * b, 3, 3])]),
  'Conv, strides': (g, x) => g.op('Conv', [x, weights(g, [b, 3, 2, 2])], { strides: [2, 1] }),
  ConvTranspose: (g, x) => g.op('ConvTranspose', [x, weights(g, [3, b, 2, 2])], { strides: [2, 2] }),
};

interface Sizes {
  readonly probed: number;
  readonly run: number;
  readonly channelBlock: number | undefined;
}

async function gradientsOf(build: Build, { probed, run, channelBlock }: Sizes) {
  const g = GraphBuilder.create('batch');
  const x = g.input('x', 'float32', ['N', 3, 4, 4]);
  const y = build(g, x);
  const loss = g.op('ReduceSum', [g.op('Mul', [y, y])], { keepdims: 0 });
  const model = modelOf(g.graph, { opset: 17 });
  const feeds = (size: number): Feeds => ({ x: new Tensor('float32', noise(size * 48, 3), [size, 3, 4, 4]) });
  const wrt = [x, ...g.graph.initializer.map(({ name }) => name)];
  const shapes = await probe(model, feeds(probed));
  const { model: training, gradients } = buildTrainingGraph(model, { loss, wrt, shapes, channelBlock });
  const parameters: Feeds = Object.fromEntries(
    model.graph!.initializer.map(({ name, dims, rawData }) => [
      name,
      new Tensor('float32', new Float32Array(rawData.slice().buffer), dims.map(Number)),
    ]),
  );
  const session = await open(training);
  const out = await session.run({ ...feeds(run), ...parameters });
  await session.release();
  return wrt.map((name) => out[gradients.get(name)!]!);
}

const layouts = block === undefined ? [undefined] : [undefined, block];
const rows = layouts.flatMap((channelBlock) =>
  Object.entries(graphs).map(([name, build]) => [name, channelBlock, build] as const),
);

test.each(rows)('%s, blocks of %s', async (_, channelBlock, build) => {
  const [wanted, got] = [
    await gradientsOf(build, { probed: 5, run: 5, channelBlock }),
    await gradientsOf(build, { probed: 2, run: 5, channelBlock }),
  ];
  for (const [index, gradient] of wanted.entries()) {
    expect(got[index]!.dims).toEqual(gradient.dims);
    expect(got[index]!.data).toEqual(gradient.data);
  }
});
