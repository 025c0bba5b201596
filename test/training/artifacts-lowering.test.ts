// Each lowered operator against the official kernel, and against the rule's own shapes.
import { create } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { type Attributes, float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder, type Value } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import type { ElementType } from '../../src/onnx/build/tensors.js';
import { ValueInfoProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { lowerOperators, lowerTrainingGraph } from '../../src/training/artifacts/lower-graph.js';
import { noise, open } from '../autodiff/support.js';
import { runOfficially } from './official.js';

/** Numbers are int64. */
type Data = number[] | Float32Array | BigInt64Array | Int32Array | Uint8Array;

/** The graph of one case: declares inputs with their data, and adds nodes. */
class Case {
  readonly g = GraphBuilder.create('case');
  readonly feeds: Record<string, Tensor> = {};

  /** float32, different numbers in [-2, 2]. */
  noise(dims: readonly number[], map: (value: number) => number = (value) => value): Value {
    const name = `x${Object.keys(this.feeds).length}`;
    const count = dims.reduce((product, size) => product * size, 1);
    return this.feed('float32', dims, noise(count, Object.keys(this.feeds).length + 1).map(map), name);
  }

  feed(type: ElementType, dims: readonly number[], data: Data, name = `x${Object.keys(this.feeds).length}`): Value {
    const typed = Array.isArray(data) ? BigInt64Array.from(data, BigInt) : data;
    this.feeds[name] = new Tensor(type as 'float32', typed as Float32Array, [...dims]);
    return this.g.input(name, type, dims);
  }

  /** An operator of com.microsoft; its outputs are outputs of the graph. */
  grad(
    op: string,
    inputs: readonly (Value | null)[],
    outputs: number,
    attributes: Attributes = {},
    domain = 'com.microsoft',
  ) {
    const values = this.g.ops(op, inputs, outputs, attributes, { name: 'node', domain });
    for (const name of values.filter((value) => value !== '')) {
      const elemType = name.startsWith('int') ? 7 : 1;
      const type = { value: { case: 'tensorType' as const, value: { elemType } } };
      this.g.graph.output.push(create(ValueInfoProtoSchema, { name, type }));
    }
    return values;
  }
}

const window = (kernel: number[], rest: Attributes = {}): Attributes => ({
  kernel_shape: kernel,
  strides: kernel.map(() => 1),
  dilations: kernel.map(() => 1),
  pads: [...kernel, ...kernel].map(() => 0),
  group: 1,
  ...rest,
});

/** X, W and the size of dY's space. */
type ConvCase = [x: number[], w: number[], space: number[], rest?: Attributes];

const convolutions: ConvCase[] = [
  [[2, 3, 5, 5], [4, 3, 3, 3], [5, 5], { pads: [1, 1, 1, 1] }],
  [[2, 3, 6, 6], [4, 3, 3, 3], [3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] }],
  [[1, 2, 9, 9], [3, 2, 7, 7], [5, 5], { pads: [3, 3, 3, 3], strides: [2, 2] }],
  [[2, 3, 5, 5], [4, 3, 1, 1], [3, 3], { strides: [2, 2] }],
  [[1, 2, 7, 7], [2, 2, 3, 3], [6, 5], { pads: [1, 0, 2, 2], dilations: [2, 2] }],
  [[2, 2, 11], [3, 2, 5], [3], { strides: [3] }],
  [[2, 4, 5, 5], [6, 2, 3, 3], [3, 3], { group: 2 }],
  [[2, 3, 4, 4], [3, 1, 3, 3], [4, 4], { group: 3, pads: [1, 1, 1, 1] }],
];

const cases: [name: string, build: (c: Case) => void][] = [
  ...convolutions.map(([x, w, space, rest]): [string, (c: Case) => void] => [
    `ConvGrad ${x}, ${w}, ${JSON.stringify(rest ?? {})}`,
    (c) => {
      const dY = c.noise([x[0]!, w[0]!, ...space]);
      c.grad('ConvGrad', [dY, c.noise(x), c.noise(w)], 3, window(w.slice(2), rest));
    },
  ]),
  ['ReluGrad', (c) => c.grad('ReluGrad', [c.noise([3, 4]), c.noise([3, 4])], 1)],
  ['SigmoidGrad', (c) => c.grad('SigmoidGrad', [c.noise([3, 4]), c.noise([3, 4], (v) => (v + 2.1) / 4.2)], 1)],
  ['TanhGrad', (c) => c.grad('TanhGrad', [c.noise([3, 4]), c.noise([3, 4], Math.tanh)], 1)],
  ['LeakyReluGrad', (c) => c.grad('LeakyReluGrad', [c.noise([3, 4]), c.noise([3, 4])], 1, { alpha: float(0.2) })],
  ['GeluGrad', (c) => c.grad('GeluGrad', [c.noise([3, 4]), c.noise([3, 4])], 1)],
  ['FastGeluGrad', (c) => c.grad('FastGeluGrad', [c.noise([3, 4]), c.noise([3, 4])], 1)],
  ['QuickGeluGrad', (c) => c.grad('QuickGeluGrad', [c.noise([3, 4]), c.noise([3, 4])], 1, { alpha: float(1.5) })],
  ['BiasGeluGrad_dX', (c) => c.grad('BiasGeluGrad_dX', [c.noise([3, 4]), c.noise([3, 4]), c.noise([4])], 1)],
  ['BiasFastGeluGrad_dX', (c) => c.grad('BiasFastGeluGrad_dX', [c.noise([3, 4]), c.noise([3, 4]), c.noise([4])], 1)],
  ['SoftmaxGrad_13', (c) => c.grad('SoftmaxGrad_13', [c.noise([2, 3, 4]), c.noise([2, 3, 4])], 1, { axis: 1 })],
  ['LogSoftmaxGrad_13', (c) => c.grad('LogSoftmaxGrad_13', [c.noise([2, 3]), c.noise([2, 3])], 1, { axis: -1 })],
  ['SoftmaxGrad', (c) => c.grad('SoftmaxGrad', [c.noise([2, 3]), c.noise([2, 3])], 1, { axis: 1 })],
  ['DropoutGrad', dropoutGrad],
  [
    'Scale',
    (c) => c.grad('Scale', [c.noise([2, 3]), c.feed('float32', [1], Float32Array.of(4))], 1, { scale_down: 1 }),
  ],
  ['Scale by an integer', (c) => c.grad('Scale', [c.noise([2, 3]), c.feed('int64', [], [4])], 1)],
  ['DivGrad', (c) => c.grad('DivGrad', [c.noise([2, 3]), c.noise([2, 3]), c.noise([3], (v) => v + 3)], 2)],
  [
    'BatchNormInternal and its gradient',
    (c) => {
      const x = c.noise([3, 2, 4]);
      const scale = c.noise([2]);
      const attributes = { epsilon: float(1e-3), momentum: float(0.8), training_mode: 1 };
      const inputs = [x, scale, c.noise([2]), c.noise([2]), c.noise([2], (v) => v + 3)];
      const saved = c.grad('BatchNormInternal', inputs, 5, attributes);
      c.grad('BatchNormalizationGrad', [c.noise([3, 2, 4]), x, scale, saved[3]!, saved[4]!], 3, {
        epsilon: float(1e-3),
      });
    },
  ],
  ['LayerNormalizationGrad', (c) => layerNormGrad(c, -1)],
  ['LayerNormalizationGrad over two axes', (c) => layerNormGrad(c, 1)],
  [
    'SimplifiedLayerNormalizationGrad',
    (c) => {
      const inverse = c.noise([2, 3, 1], (v) => v + 3);
      c.grad('SimplifiedLayerNormalizationGrad', [c.noise([2, 3, 4]), c.noise([2, 3, 4]), c.noise([4]), inverse], 2, {
        axis: -1,
      });
    },
  ],
  ...(['mean', 'sum', 'none'] as const).flatMap((reduction) =>
    [false, true].flatMap((weighted) =>
      [undefined, 1].map((ignore): [string, (c: Case) => void] => [
        `SoftmaxCrossEntropyLossGrad ${reduction}${weighted ? ', weights' : ''}${ignore ? ', ignore_index' : ''}`,
        (c) => lossGrad(c, reduction, { weighted, ignore }),
      ]),
    ),
  ),
  [
    'SoftmaxCrossEntropyLossGrad over images',
    (c) => {
      const dY = c.feed('float32', [], Float32Array.of(0.7));
      const labels = c.feed('int32', [2, 2, 2], Int32Array.of(0, 2, 1, 1, 2, 2, 0, 1));
      c.grad('SoftmaxCrossEntropyLossGrad', [dY, c.noise([2, 3, 2, 2]), labels], 1, { reduction: 'mean' });
    },
  ],
  [
    'SoftmaxCrossEntropyLossInternal and its gradient',
    (c) => {
      const [logits, labels] = [c.noise([4, 3]), c.feed('int64', [4], [0, 2, 1, 2])];
      const index = c.g.initializer('ignore', [], BigInt64Array.of(2n));
      const weight = c.noise([3], (v) => v + 3);
      const [, logs] = c.grad('SoftmaxCrossEntropyLossInternal', [logits, labels, weight, index], 2, {
        reduction: 'mean',
      });
      const dY = c.feed('float32', [], Float32Array.of(0.7));
      c.grad('SoftmaxCrossEntropyLossInternalGrad', [dY, logs!, labels, weight, index], 1, { reduction: 'mean' });
    },
  ],
  [
    'BroadcastGradientArgs',
    (c) => {
      const a = c.g.op('Shape', [c.noise([3, 1, 4])]);
      const b = c.g.op('Shape', [c.noise([2, 1, 5, 1])]);
      const [x, y] = c.g.ops('BroadcastGradientArgs', [a, b], 2, {}, { domain: 'com.microsoft', name: 'axes' });
      const data = c.noise([2, 3, 5, 4]);
      c.grad('ReduceSum', [data, x!], 1, { keepdims: 1 }, '');
      c.grad('ReduceSum', [data, y!], 1, { keepdims: 1 }, '');
    },
  ],
  ['ReduceSumTraining', (c) => c.grad('ReduceSumTraining', [c.noise([2, 3, 4]), c.g.int64([1])], 1, { keepdims: 0 })],
  [
    'ConcatTraining',
    (c) => {
      const [, lengths] = c.g.ops(
        'ConcatTraining',
        [c.noise([2, 3]), c.noise([2, 5])],
        2,
        { axis: 1 },
        { domain: 'com.microsoft' },
      );
      c.grad('Cast', [lengths!], 1, { to: 1 }, '');
    },
  ],
  ['SplitTraining', (c) => c.grad('SplitTraining', [c.noise([2, 5]), c.g.int64([2, 3])], 2, { axis: 1 })],
  ...[
    [
      [3, 3],
      [2, 2],
      [1, 1, 1, 1],
    ],
    [
      [2, 2],
      [2, 2],
      [0, 0, 0, 0],
    ],
  ].map(([kernel, strides, pads]): [string, (c: Case) => void] => [
    `MaxPoolGrad ${kernel}`,
    (c) => {
      const attributes = { kernel_shape: kernel!, strides: strides!, pads: pads! };
      const x = c.noise([2, 3, 6, 6]);
      const [, indices] = c.g.ops('MaxPool', [x], 2, attributes);
      const [dX] = c.grad('MaxPoolGrad', [c.noise([2, 3, 3, 3]), indices!], 1, attributes, '');
      staticShape(c, dX!, [2, 3, 6, 6]);
    },
  ]),
  [
    'AveragePoolGrad',
    (c) => {
      const attributes = { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] };
      c.g.op('AveragePool', [c.noise([2, 3, 6, 6])], attributes, { name: 'pool' });
      const [dX] = c.grad('AveragePoolGrad', [c.noise([2, 3, 3, 3])], 1, attributes, '');
      c.g.graph.node.at(-1)!.name = 'pool_Grad/AveragePoolGrad_0';
      staticShape(c, dX!, [2, 3, 6, 6]);
    },
  ],
  [
    'GatherGrad',
    (c) => {
      const shape = c.g.op('Shape', [c.noise([5, 3])]);
      c.grad('GatherGrad', [shape, c.feed('int64', [2, 2], [0, 3, 3, 1]), c.noise([2, 2, 3])], 1, { axis: 0 });
    },
  ],
  [
    'GatherElementsGrad',
    (c) => {
      const shape = c.g.op('Shape', [c.noise([4, 3])]);
      c.grad('GatherElementsGrad', [c.noise([2, 3]), shape, c.feed('int64', [2, 3], [0, 3, 3, 0, 2, 1])], 1, {
        axis: 0,
      });
    },
  ],
  [
    'SliceGrad',
    (c) => {
      const shape = c.g.op('Shape', [c.noise([5, 6])]);
      const [starts, ends, axes, steps] = [[1], [6], [1], [2]].map((list) => c.g.int64(list));
      c.grad('SliceGrad', [c.noise([5, 3]), shape, starts!, ends!, axes!, steps!], 1);
    },
  ],
  [
    'SliceGrad without axes',
    (c) => {
      const shape = c.g.op('Shape', [c.noise([5, 6])]);
      const [starts, ends, steps] = [
        [0, 1],
        [5, 6],
        [1, 2],
      ].map((list) => c.g.int64(list));
      c.grad('SliceGrad', [c.noise([5, 3]), shape, starts!, ends!, null, steps!], 1);
    },
  ],
];

/** The official kernel does not look at training_mode, which is true where the gradient is built. */
function dropoutGrad(c: Case): void {
  const mask = c.feed('bool', [2, 3], Uint8Array.of(1, 0, 1, 1, 0, 1));
  const ratio = c.feed('float32', [], Float32Array.of(0.25));
  c.grad('DropoutGrad', [c.noise([2, 3]), mask, ratio, c.feed('bool', [], Uint8Array.of(1))], 1);
}

function layerNormGrad(c: Case, axis: number): void {
  const inner = axis === 1 ? [3, 4] : [4];
  const outer = axis === 1 ? [2, 1, 1] : [2, 3, 1];
  const inputs = [c.noise([2, 3, 4]), c.noise([2, 3, 4]), c.noise(inner), c.noise(outer), c.noise(outer, (v) => v + 3)];
  c.grad('LayerNormalizationGrad', inputs, 3, { axis });
}

function lossGrad(
  c: Case,
  reduction: string,
  { weighted, ignore }: { weighted: boolean; ignore: number | undefined },
): void {
  const dY = reduction === 'none' ? c.noise([4]) : c.feed('float32', [], Float32Array.of(0.7));
  const inputs = [dY, c.noise([4, 3]), c.feed('int64', [4], [0, 2, 1, 2])];
  const weights = weighted ? [c.noise([3], (v) => v + 3)] : [];
  c.grad('SoftmaxCrossEntropyLossGrad', [...inputs, ...weights], 1, { reduction, ignore_index: ignore });
}

/** The official kernels of pooling take the shape of their result from the declaration. */
function staticShape(c: Case, value: Value, dims: readonly number[]): void {
  c.g.graph.output = c.g.graph.output.filter(({ name }) => name !== value);
  c.g.output(value, 'float32', dims);
}

test.each(cases)('%s', async (_, build) => {
  const c = new Case();
  build(c);
  const model = modelOf(c.g.graph, { opset: 14, domains: { 'com.microsoft': 1 } });
  const wanted = await runOfficially(model, c.feeds);
  const inputShapes = Object.fromEntries(Object.entries(c.feeds).map(([name, { dims }]) => [name, dims]));
  const session = await open((await lowerOperators(model, inputShapes)).model);
  const got = await session.run(c.feeds);
  await session.release();
  expect(Object.keys(got).length).toBeGreaterThan(0);
  expect(Object.keys(got)).toEqual(Object.keys(wanted));
  for (const [name, { data, dims }] of Object.entries(wanted)) {
    expect(got[name]!.dims, name).toEqual(dims);
    const scale = Math.max(1, ...[...data].map((value) => Math.abs(Number(value))));
    for (const [index, value] of [...data].entries()) {
      expect(Math.abs(Number(got[name]!.data[index]) - Number(value)) / scale, `${name}[${index}]`).toBeLessThan(2e-6);
    }
  }
});

/** Runs the lowered graph of operators that the official build has on GPUs only. */
async function lowered(build: (c: Case) => void) {
  const c = new Case();
  build(c);
  const model = modelOf(c.g.graph, { opset: 14, domains: { 'com.microsoft': 1 } });
  const inputShapes = Object.fromEntries(Object.entries(c.feeds).map(([name, { dims }]) => [name, dims]));
  const session = await open((await lowerOperators(model, inputShapes)).model);
  const run = await session.run(c.feeds);
  await session.release();
  return { run: Object.values(run), feeds: Object.values(c.feeds) };
}

test('GatherNDGrad adds up what was read twice', async () => {
  const { run } = await lowered((c) => {
    const shape = c.g.op('Shape', [c.noise([3, 2])]);
    const dY = c.feed('float32', [3, 2], Float32Array.of(1, 2, 3, 4, 5, 6));
    c.grad('GatherNDGrad', [shape, c.feed('int64', [3, 1], [0, 2, 0]), dY], 1, { batch_dims: 0 });
  });
  expect([...(run[0]!.data as Float32Array)]).toEqual([6, 8, 0, 0, 3, 4]);
});

test('ResizeGrad sums over the pixels that nearest has copied', async () => {
  const { run } = await lowered((c) => {
    const x = c.noise([1, 1, 2, 2]);
    const dY = c.feed(
      'float32',
      [1, 1, 4, 4],
      Float32Array.from({ length: 16 }, (_, index) => index),
    );
    const scales = c.g.float32([1, 1, 2, 2]);
    const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
    c.grad('ResizeGrad', [dY, x, null, scales], 1, attributes);
  });
  expect([...(run[0]!.data as Float32Array)]).toEqual([10, 18, 42, 50]);
});

test('ResizeGrad of sizes is refused', async () => {
  const resized = lowered((c) => c.grad('ResizeGrad', [c.noise([1, 1, 4, 4]), c.noise([1, 1, 2, 2]), null, null], 1));
  await expect(resized).rejects.toThrow('Expected to lower ResizeGrad (node), but it has no scales');
});

test('ConvTransposeGrad: the input gets the convolution of the gradient', async () => {
  const attributes = window([3, 3], { strides: [2, 2], pads: [1, 1, 1, 1] });
  const { run } = await lowered((c) => {
    const [dY, x, w] = [c.noise([1, 3, 5, 5]), c.noise([1, 2, 3, 3]), c.noise([2, 3, 3, 3])];
    c.grad('ConvTransposeGrad', [dY, x, w], 3, attributes);
    c.grad('Conv', [dY, w], 1, attributes, '');
  });
  const [dX, dW, dB, wanted] = run.map(({ data }) => data as Float32Array);
  for (const [index, value] of wanted!.entries()) expect(dX![index]).toBeCloseTo(value, 4);
  expect(dW).toHaveLength(54);
  expect(dB).toHaveLength(3);
});

const kept: [op: string, shapes: number[][]][] = [
  ['Gelu', [[3, 4]]],
  ['FastGelu', [[3, 4]]],
  ['QuickGelu', [[3, 4]]],
  ['BiasGelu', [[3, 4], [4]]],
  [
    'FusedMatMul',
    [
      [3, 4],
      [4, 2],
    ],
  ],
  [
    'TransposeMatMul',
    [
      [3, 4],
      [4, 2],
    ],
  ],
  ['FusedGemm', [[3, 4], [4, 2], [2]]],
];

test.each(kept)('%s is kept: the stock runtime has it', async (op, shapes) => {
  const attributes = op === 'FusedGemm' ? { activation: 'Relu' } : {};
  const { run } = await lowered((c) =>
    c.grad(
      op,
      shapes.map((shape) => c.noise(shape)),
      1,
      attributes,
    ),
  );
  expect(run[0]!.data.every((value) => Number.isFinite(Number(value)))).toBe(true);
});

test('what cannot be lowered is refused, all of it at once', async () => {
  const c = new Case();
  const x = c.noise([2, 2]);
  c.g.op('LSTMGrad', [x], {}, { domain: 'com.microsoft', name: 'lstm_Grad/LSTMGrad_0' });
  c.g.op('CustomOpOne', [x], {}, { domain: 'test.customop', name: 'one' });
  c.grad('Scale', [x, c.g.float32(2)], 1);
  const model = modelOf(c.g.graph, { opset: 14, domains: { 'com.microsoft': 1, 'test.customop': 1 } });
  const list = 'got com.microsoft.LSTMGrad (lstm_Grad/LSTMGrad_0), test.customop.CustomOpOne (one)';
  await expect(lowerTrainingGraph(model)).rejects.toThrow(list);
  c.g.graph.node = [];
  await expect(lowerTrainingGraph(model)).rejects.toThrow(
    'Expected a training model that accumulates gradients, got none',
  );
});
