// Inferred shapes are those that onnxruntime-node computes, operator by operator and for whole models.

import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { newModel } from '../../models/index.js';
import { shapeProbe } from '../../src/autodiff/shape-probe.js';
import { type Attributes, float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder, type Value } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { inferShapes } from '../../src/onnx/infer/infer.js';
import { broadcast, Symbols } from '../../src/onnx/infer/shape.js';
import { countMacs, totalMacs } from '../../src/onnx/macs.js';
import { type ModelProto, ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { fillNormal } from '../models/support.js';

const read = (tensor: { rawData: Uint8Array }) => tensor.rawData;

async function actualShapes(model: ModelProto, feeds: Record<string, number[]>): Promise<Map<string, number[]>> {
  const session = await InferenceSession.create(toBinary(ModelProtoSchema, shapeProbe(model)), { logSeverityLevel: 3 });
  const inputs = Object.entries(feeds).map(([name, dims]) => {
    return [name, new Tensor('float32', new Float32Array(dims.reduce((product, dim) => product * dim, 1)), dims)];
  });
  const outputs = await session.run(Object.fromEntries(inputs));
  await session.release();
  return new Map(Object.entries(outputs).map(([name, { dims }]) => [name, [...dims]]));
}

/** Every inferred shape is the actual one, a symbol standing for any length that the feeds give it. */
async function check(model: ModelProto, feeds: Record<string, number[]>, symbols: Record<string, number> = {}) {
  const { shapes } = inferShapes(model, read);
  for (const [name, dims] of await actualShapes(model, feeds)) {
    const inferred = shapes.get(name);
    // With symbols some lengths are not known, and with them sometimes the rank.
    if (inferred === undefined && Object.keys(symbols).length > 0) continue;
    const known = inferred?.map((dim, axis) => (typeof dim === 'string' ? (symbols[dim] ?? dims[axis]) : dim));
    expect(known, name).toEqual(dims);
    if (Object.keys(symbols).length === 0) expect(inferred, name).toEqual(dims);
  }
}

type Make = (g: GraphBuilder, x: Value) => unknown;

const op =
  (opType: string, attributes: Attributes = {}, inputs: (g: GraphBuilder) => (Value | null)[] = () => []): Make =>
  (g, x) =>
    g.op(opType, [x, ...inputs(g)], attributes, { name: 'y' });

const image = [2, 4, 9, 7];
const weight = (shape: number[]) => (g: GraphBuilder) => [
  g.initializer('w', shape, new Float32Array(shape.reduce((product, dim) => product * dim, 1))),
];
const ints =
  (...lists: number[][]) =>
  (g: GraphBuilder) =>
    lists.map((list) => g.int64(list));

const cases: [string, Make][] = [
  ['Conv', op('Conv', { pads: [1, 0, 2, 1], strides: [2, 1], dilations: [1, 2] }, weight([6, 4, 3, 2]))],
  ['Conv SAME_UPPER', op('Conv', { auto_pad: 'SAME_UPPER', strides: [2, 2] }, weight([6, 4, 3, 3]))],
  ['Conv VALID, grouped', op('Conv', { auto_pad: 'VALID', group: 2 }, weight([6, 2, 3, 3]))],
  [
    'ConvTranspose',
    op('ConvTranspose', { strides: [2, 3], pads: [1, 0, 0, 1], output_padding: [1, 0] }, weight([4, 5, 3, 2])),
  ],
  ['ConvTranspose, grouped', op('ConvTranspose', { group: 2, dilations: [2, 2] }, weight([4, 5, 3, 3]))],
  ['MaxPool', op('MaxPool', { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 0, 1, 1] })],
  ['MaxPool, ceil', op('MaxPool', { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 })],
  ['MaxPool, ceil, padded', op('MaxPool', { kernel_shape: [3, 3], strides: [3, 3], pads: [1, 1, 1, 1], ceil_mode: 1 })],
  ['AveragePool, dilated', op('MaxPool', { kernel_shape: [2, 2], dilations: [2, 3] })],
  ['GlobalAveragePool', op('GlobalAveragePool')],
  ['Transpose', op('Transpose', { perm: [2, 0, 3, 1] })],
  ['Transpose by default', op('Transpose')],
  ['Flatten', op('Flatten', { axis: 2 })],
  ['Flatten from the end', op('Flatten', { axis: -1 })],
  ['Reshape', op('Reshape', {}, ints([0, -1, 7]))],
  ['Squeeze', (g, x) => g.op('Squeeze', [g.op('GlobalMaxPool', [x]), g.int64([-1, 2])], {}, { name: 'y' })],
  ['Squeeze of all', (g, x) => g.op('Squeeze', [g.op('GlobalMaxPool', [x])], {}, { name: 'y' })],
  ['Unsqueeze', op('Unsqueeze', {}, ints([0, -1]))],
  ['Slice', op('Slice', {}, ints([1, -3, 100], [4, 2 ** 31 - 1, 2], [1, 2, 3], [2, 1, -2]))],
  ['Concat', (g, x) => g.op('Concat', [x, x, x], { axis: -2 }, { name: 'y' })],
  ['Split', (g, x) => g.ops('Split', [x, g.int64([1, 3])], 2, { axis: 1 })],
  ['Split evenly', (g, x) => g.ops('Split', [x], 2, { axis: 1 })],
  ['Pad', op('Pad', {}, ints([0, 1, 2, 0, 0, 2, 0, 3]))],
  ['Resize by scales', op('Resize', { mode: 'nearest' }, (g) => [null, g.float32([1, 1, 1.5, 2])])],
  ['Resize by sizes', op('Resize', { mode: 'linear' }, (g) => [null, null, g.int64([2, 4, 5, 11])])],
  ['Expand', op('Expand', {}, ints([3, 2, 1, 1, 7]))],
  ['ReduceMean', op('ReduceMean', { axes: [1, -1], keepdims: 0 })],
  ['ReduceSum', op('ReduceSum', { keepdims: 1 }, ints([0, 2]))],
  ['ReduceMax of all', op('ReduceMax', { keepdims: 0 })],
  ['ArgMax', op('ArgMax', { axis: 1, keepdims: 0 })],
  ['Softmax', op('Softmax', { axis: 1 })],
  ['Add, broadcast', op('Add', {}, weight([4, 1, 1]))],
  ['Where', (g, x) => g.op('Where', [g.op('Greater', [x, g.float32(0)]), x, g.float32([1])], {}, { name: 'y' })],
  ['MatMul', op('MatMul', {}, weight([4, 7, 3]))],
  ['MatMul with a vector', op('MatMul', {}, weight([7]))],
  ['DepthToSpace', op('DepthToSpace', { blocksize: 2 })],
  ['Gather', op('Gather', { axis: 1 }, ints([3, 0, 1]))],
  ['LeakyRelu', op('LeakyRelu', { alpha: float(0.2) })],
  [
    'Shape, Gather, Concat, Reshape',
    (g, x) => {
      const batch = g.op('Gather', [g.op('Shape', [x]), g.int64([0])], { axis: 0 });
      g.op('Reshape', [x, g.op('Concat', [batch, g.int64([-1])], { axis: 0 })], {}, { name: 'y' });
    },
  ],
  [
    'Slice of a Shape, arithmetic, Expand',
    (g, x) => {
      const space = g.op('Slice', [g.op('Shape', [x]), g.int64([2]), g.int64([4])]);
      const twice = g.op('Mul', [space, g.int64(2)]);
      const one = g.op('Reshape', [g.op('ReduceSum', [x], { keepdims: 0 }), g.int64([1, 1])]);
      g.op('Expand', [one, g.op('Add', [twice, g.int64([1])])], {}, { name: 'y' });
    },
  ],
];

describe('shapes', () => {
  it.each(cases)('%s', async (_, make) => {
    for (const symbolic of [false, true]) {
      const g = GraphBuilder.create('case');
      make(g, g.input('x', 'float32', symbolic ? ['N', ...image.slice(1)] : image));
      await check(modelOf(g.graph, { opset: 17 }), { x: image }, symbolic ? { N: 2 } : {});
    }
  });

  it('Gemm', async () => {
    const g = GraphBuilder.create('case');
    const w = g.initializer('w', [5, 6], new Float32Array(30));
    g.op('Gemm', [g.input('x', 'float32', [6, 3]), w], { transA: 1, transB: 1 });
    await check(modelOf(g.graph, { opset: 17 }), { x: [6, 3] });
  });

  it.each([
    ['lenet5', {}, [2, 1, 28, 28]],
    ['resnet56', { depth: 20 }, [2, 3, 32, 32]],
    ['yolov4', { tiny: true, size: 64 }, [2, 3, 64, 64]],
  ] as const)('%s', { timeout: 30_000 }, async (name, options, dims) => {
    await check(newModel(name, options, fillNormal), { input: [...dims] }, { N: 2 });
  });

  it('broadcasting keeps symbols that are equal, and makes new ones of those that are not', () => {
    const symbols = new Symbols();
    expect(
      broadcast(
        [
          ['N', 1, 3],
          [4, 3],
        ],
        symbols,
      ),
    ).toEqual(['N', 4, 3]);
    expect(
      broadcast(
        [
          ['N', 3],
          ['N', 1],
        ],
        symbols,
      ),
    ).toEqual(['N', 3]);
    expect(broadcast([['N'], ['M']], symbols)).toEqual(['?1']);
    expect(broadcast([['N'], [5]], symbols)).toEqual([5]);
  });
});

describe('multiply-accumulates', () => {
  it.each([
    // conv1 20 x 1 x 25 x 24 x 24, conv2 50 x 20 x 25 x 8 x 8, fc1 800 x 500, fc2 500 x 10
    ['lenet5', {}, 288_000 + 1_600_000 + 400_000 + 5000],
    // 16 convolutions of 16 x 16 x 9 x 32 x 32, or the same at half the size and twice the channels; two half as large
    // where stages begin; the first one; 64 x 10.
    ['resnet56', { depth: 20 }, 16 * 2_359_296 + 2 * 1_179_648 + 442_368 + 640],
  ] as const)('%s', (name, options, wanted) => {
    const model = newModel(name, options, fillNormal);
    const count = countMacs(model, inferShapes(model, read));
    expect(totalMacs(count, () => 0.5)).toEqual({ dense: wanted, effective: wanted / 2, unknown: [] });
  });
});
