// Whole blocks of networks against differences: for each parameter, the slope of the loss along a random direction.
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { LayerBuilder } from '../../models/layers.js';
import { buildResNet } from '../../models/resnet56/build.js';
import { WeightSource } from '../../models/weights.js';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { toTrainingMode } from '../../src/autodiff/training-mode.js';
import { float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder, type Value } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { fillNormal } from '../models/support.js';
import { type Feeds, noise, open, probe } from './support.js';

const sizeOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);
let seeds = 1;
const weight = (g: GraphBuilder, name: string, shape: number[], scale = 0.5) =>
  g.initializer(
    name,
    shape,
    noise(sizeOf(shape), seeds++).map((value) => value * scale),
  );

function linear(g: GraphBuilder, x: Value, name: string, [inputs, outputs]: readonly [number, number]): Value {
  const product = g.op('MatMul', [x, weight(g, `${name}.weight`, [inputs, outputs], 1 / Math.sqrt(inputs))]);
  return g.op('Add', [product, weight(g, `${name}.bias`, [outputs])]);
}

/** Multi-head attention and a feed-forward layer, normalised after each. x [N, 5], ids. */
function encoder(g: GraphBuilder): void {
  const [width, heads, length] = [8, 2, 5];
  const ids = g.input('ids', 'int64', ['N', length]);
  const embedded = g.op('Gather', [weight(g, 'embedding', [7, width]), ids]);
  const x = g.op('Add', [embedded, weight(g, 'positions', [length, width])]);
  const [q = '', k = '', v = ''] = ['q', 'k', 'v'].map((name) => {
    const split = g.op('Reshape', [linear(g, x, name, [width, width]), g.int64([0, 0, heads, width / heads])]);
    return g.op('Transpose', [split], { perm: [0, 2, 1, 3] });
  });
  const scores = g.op('Div', [g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]), g.float32(2)]);
  const mixed = g.op('Transpose', [g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), v])], {
    perm: [0, 2, 1, 3],
  });
  const attention = linear(g, g.op('Reshape', [mixed, g.int64([0, 0, -1])]), 'out', [width, width]);
  const first = g.op('LayerNormalization', [
    g.op('Add', [x, attention]),
    weight(g, 'ln.scale', [width]),
    weight(g, 'ln.bias', [width]),
  ]);
  const inner = linear(g, first, 'up', [width, 12]);
  const erf = g.op('Erf', [g.op('Div', [inner, g.float32(Math.SQRT2)])]);
  const gelu = g.op('Mul', [g.op('Mul', [inner, g.op('Add', [erf, g.float32(1)])]), g.float32(0.5)]);
  const sum = g.op('Add', [first, linear(g, gelu, 'down', [12, width])]);
  // The second normalisation spelled out, as older exporters do.
  const centred = g.op('Sub', [sum, g.op('ReduceMean', [sum], { axes: [-1] })]);
  const variance = g.op('ReduceMean', [g.op('Pow', [centred, g.float32(2)])], { axes: [-1] });
  const normal = g.op('Div', [centred, g.op('Sqrt', [g.op('Add', [variance, g.float32(1e-5)])])]);
  g.op('Tanh', [g.op('Gather', [normal, g.int64(0)], { axis: 1 })], {}, { outputs: ['y'] });
}

function convolution(g: GraphBuilder, x: Value, name: string, shape: number[], attributes = {}): Value {
  return g.op('Conv', [x, weight(g, name, shape, 1 / Math.sqrt(sizeOf(shape.slice(1))))], attributes);
}

/** Two scales of features, upsampled and joined as YOLOv4's neck does. */
function neck(g: GraphBuilder): void {
  const pads = { pads: [1, 1, 1, 1] };
  const image = g.input('image', 'float32', ['N', 3, 8, 8]);
  const fine = g.op('Mish', [convolution(g, image, 'c1', [4, 3, 3, 3], pads)]);
  const coarse = g.op('LeakyRelu', [convolution(g, fine, 'c2', [6, 4, 3, 3], { ...pads, strides: [2, 2] })], {
    alpha: float(0.1),
  });
  const pooled = [3, 5].map((size) =>
    g.op('MaxPool', [coarse], { kernel_shape: [size, size], pads: new Array(4).fill((size - 1) / 2) }),
  );
  const pyramid = g.op('Concat', [coarse, ...pooled], { axis: 1 });
  const up = g.op('Resize', [convolution(g, pyramid, 'c3', [4, 18, 1, 1]), null, g.float32([1, 1, 2, 2])], {
    mode: 'nearest',
    coordinate_transformation_mode: 'asymmetric',
    nearest_mode: 'floor',
  });
  const [left = '', right = ''] = g.ops('Split', [g.op('Concat', [up, fine], { axis: 1 }), g.int64([3, 5])], 2, {
    axis: 1,
  });
  const head = g.op('Mul', [
    g.op('Sigmoid', [convolution(g, left, 'c4', [2, 3, 1, 1])]),
    convolution(g, right, 'c5', [2, 5, 1, 1]),
  ]);
  g.op('Flatten', [head], {}, { outputs: ['y'] });
}

/** Inverted residual with squeeze and excitation, depthwise convolution and batch statistics. */
function invertedResidual(g: GraphBuilder): void {
  const image = g.input('image', 'float32', ['N', 4, 6, 6]);
  const norm = (x: Value, name: string, channels: number) =>
    g.op('BatchNormalization', [
      x,
      weight(g, `${name}.scale`, [channels]),
      weight(g, `${name}.bias`, [channels]),
      g.initializer(`${name}.mean`, [channels], new Float32Array(channels)),
      g.initializer(`${name}.variance`, [channels], new Float32Array(channels).fill(1)),
    ]);
  const wide = g.op('HardSwish', [norm(convolution(g, image, 'expand', [8, 4, 1, 1]), 'n1', 8)]);
  const depthwise = convolution(g, wide, 'depthwise', [8, 1, 3, 3], { group: 8, pads: [1, 1, 1, 1] });
  const active = g.op('Clip', [norm(depthwise, 'n2', 8), g.float32(-2), g.float32(6)]);
  const squeezed = g.op('Relu', [convolution(g, g.op('GlobalAveragePool', [active]), 'squeeze', [2, 8, 1, 1])]);
  const gate = g.op('HardSigmoid', [convolution(g, squeezed, 'excite', [8, 2, 1, 1])]);
  const narrow = norm(convolution(g, g.op('Mul', [active, gate]), 'project', [4, 8, 1, 1]), 'n3', 4);
  const joined = g.op('Add', [image, narrow]);
  const averaged = g.op('AveragePool', [joined], { kernel_shape: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1] });
  g.op('Flatten', [averaged], {}, { outputs: ['y'] });
}

function resNet8(g: GraphBuilder): void {
  buildResNet(new LayerBuilder(g, new WeightSource(5, fillNormal)), { depth: 8, classes: 10 });
}

const image = (channels: number, size: number) => (batch: number) =>
  new Tensor('float32', noise(batch * channels * size * size, 4), [batch, channels, size, size]);
const ids = (batch: number) =>
  new Tensor(
    'int64',
    BigInt64Array.from({ length: batch * 5 }, (_, index) => BigInt((index * index + index) % 7)),
    [batch, 5],
  );

const networks: [string, (g: GraphBuilder) => void, string, Record<string, (batch: number) => Tensor>][] = [
  ['a transformer encoder layer', encoder, 'y', { ids }],
  ['a YOLO neck', neck, 'y', { image: image(3, 8) }],
  ['an inverted residual block', invertedResidual, 'y', { image: image(4, 6) }],
  ['ResNet-8', resNet8, 'logits', { input: image(3, 32) }],
];

test.each(networks)('%s', async (_, build, output, inputs) => {
  const g = GraphBuilder.create('network');
  build(g);
  const loss = g.op('ReduceMean', [g.op('Mul', [output, output])], { keepdims: 0 }, { outputs: ['loss'] });
  const { model, running } = toTrainingMode(modelOf(g.graph, { opset: 17 }));
  if (build === neck) model.opsetImport[0]!.version = 18n; // Mish
  const batch = (size: number): Feeds =>
    Object.fromEntries(Object.entries(inputs).map(([name, make]) => [name, make(size)]));
  const state: Feeds = Object.fromEntries(
    model.graph!.initializer.map(({ name, dims, rawData }) => [
      name,
      new Tensor('float32', new Float32Array(rawData.slice().buffer), dims.map(Number)),
    ]),
  );
  const wrt = Object.keys(state).filter((name) => !running.has(name));
  const shapes = await probe(model, batch(2));
  const { model: training, gradients } = buildTrainingGraph(model, { loss, wrt, shapes, running });
  const session = await open(training);
  const feeds = { ...batch(3), ...state };
  const got = await session.run(feeds);
  for (const name of wrt) {
    const gradient = got[gradients.get(name)!]!.data as Float32Array;
    const values = state[name]!.data as Float32Array;
    // Mostly along the gradient, so that the slope is large against the rounding of the loss.
    const length = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
    // Keys may all move by one vector: softmax does not see it.
    expect(length < 1e-5, `${name}: ${length}`).toBe(name === 'k.bias');
    if (name === 'k.bias') continue;
    const side = noise(gradient.length, 77);
    const direction = gradient.map(
      (value, index) => value / length + (0.2 * side[index]!) / Math.sqrt(gradient.length),
    );
    const kept = values.slice();
    const at = async (step: number) => {
      for (const [index, value] of kept.entries()) values[index] = value + step * direction[index]!;
      const value = Number((await session.run(feeds, [loss]))[loss]!.data[0]);
      values.set(kept);
      return value;
    };
    const step = 2 ** -8;
    const slope = ((await at(step)) - (await at(-step))) / (2 * step);
    const expected = gradient.reduce((sum, value, index) => sum + value * direction[index]!, 0);
    expect(Math.abs(slope - expected) / Math.abs(expected), `${name}: ${expected} against ${slope}`).toBeLessThan(0.02);
  }
});
