// Our gradients against the gradient operators of ONNX Runtime's last training build: each is given what our forward
// node was given and made, and the same dY.
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { type Attributes, float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder, type Value } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import type { ElementType } from '../../src/onnx/build/tensors.js';
import { runOfficially } from '../training/official.js';
import { type Case, type Feeds, forwardOf, noise, open, probe } from './support.js';

interface OracleCase extends Case {
  /** The official operator. */
  readonly gradient: string;
  /** Its inputs, out of dY, x0, x1, .., y (with several outputs y.0, y.1, ..) and `more`. */
  readonly from: readonly Value[];
  /** Its outputs: the gradients of these inputs of ours. */
  readonly gives?: readonly number[];
  readonly gradientAttributes?: Attributes;
  readonly gradientDomain?: string;
  readonly more?: (values: Feeds) => Feeds;
}

const int64 = (values: readonly number[], dims = [values.length]) =>
  new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
const shapeOf = (values: Feeds, name: string) => int64([...values[name]!.dims]);
const wide = (value: number) => 2 * value;
const indices = (values: readonly number[], dims: readonly number[]) => ({
  rest: [{ int64: values, dims }],
  more: (given: Feeds): Feeds => ({ indices: int64(values, [...dims]), shape: shapeOf(given, 'x0') }),
});

/** y = f(x): from dY and x, or y. */
const unary = (op: string, gradient: string, from: Value, more: Partial<OracleCase> = {}): OracleCase => ({
  op,
  gradient,
  from: ['dY', from],
  shapes: [[4, 25]],
  transform: wide,
  ...more,
});

const window = { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1] };
const convolutions = [
  { shapes: [[2, 3, 7, 6], [4, 3, 3, 3], [4]], attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] } },
  {
    shapes: [[2, 3, 8, 7], [4, 3, 3, 3], [4]],
    attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
  },
  {
    shapes: [[2, 2, 8, 8], [3, 2, 2, 3], [3]],
    attributes: { kernel_shape: [2, 3], dilations: [2, 1], pads: [1, 0, 0, 2] },
  },
  { shapes: [[2, 4, 5, 5], [6, 2, 3, 3], [6]], attributes: { kernel_shape: [3, 3], group: 2, pads: [1, 1, 1, 1] } },
  { shapes: [[2, 3, 6, 6], [3, 1, 3, 3], [3]], attributes: { kernel_shape: [3, 3], group: 3, pads: [1, 1, 1, 1] } },
  { shapes: [[2, 3, 9], [4, 3, 5], [4]], attributes: { kernel_shape: [5], strides: [3], pads: [2, 2] } },
];

const cases: OracleCase[] = [
  unary('Relu', 'ReluGrad', 'y'),
  unary('Sigmoid', 'SigmoidGrad', 'y'),
  unary('Tanh', 'TanhGrad', 'y'),
  unary('LeakyRelu', 'LeakyReluGrad', 'y', { attributes: { alpha: float(0.2) } }),
  unary('Gelu', 'GeluGrad', 'x0', { opset: 20 }),
  unary('Gelu', 'FastGeluGrad', 'x0', { attributes: { approximate: 'tanh' }, opset: 20 }),
  unary('Gelu', 'GeluGrad', 'x0', { domain: 'com.microsoft' }),
  unary('FastGelu', 'FastGeluGrad', 'x0', { domain: 'com.microsoft' }),
  unary('QuickGelu', 'QuickGeluGrad', 'x0', { domain: 'com.microsoft', attributes: { alpha: float(1.5) } }),
  unary('Softmax', 'SoftmaxGrad_13', 'y', { attributes: { axis: -1 } }),
  unary('Softmax', 'SoftmaxGrad_13', 'y', { shapes: [[2, 5, 3]], attributes: { axis: 1 } }),
  unary('LogSoftmax', 'LogSoftmaxGrad_13', 'y', { attributes: { axis: 0 } }),
  {
    ...{ op: 'BiasGelu', domain: 'com.microsoft', shapes: [[3, 4, 5], [5]] },
    ...{ gradient: 'BiasGeluGrad_dX', from: ['dY', 'x0', 'x1'] },
  },
  {
    op: 'Div',
    shapes: [
      [3, 4],
      [3, 4],
    ],
    gradient: 'DivGrad',
    from: ['dY', 'x0', 'x1'],
    gives: [0, 1],
  },
  { op: 'Div', shapes: [[3, 4], [4]], gradient: 'DivGrad', from: ['dY', 'x0', 'x1'], gives: [0, 1] },
  ...[-1, 1].map((axis) => ({
    ...{ op: 'LayerNormalization', shapes: [[3, 4, 5], axis === 1 ? [4, 5] : [5], axis === 1 ? [4, 5] : [5]] },
    ...{ attributes: { axis }, outputs: 3, gradient: 'LayerNormalizationGrad', gives: [0, 1, 2] },
    from: ['dY', 'x0', 'x1', 'y.1', 'y.2'],
  })),
  {
    ...{ op: 'BatchNormalization', shapes: [[4, 3, 5, 2], [3], [3]], outputs: 3 },
    rest: [{ float32: [0, 0, 0] }, { float32: [1, 1, 1] }],
    attributes: { training_mode: 1, momentum: float(0), epsilon: float(0.01) },
    ...{ gradient: 'BatchNormalizationGrad', from: ['dY', 'x0', 'x1', 'y.1', 'inverse'], gives: [0, 1, 2] },
    gradientAttributes: { epsilon: float(0.01) },
    more: (values) => {
      const variances = [...(values['y.2']!.data as Float32Array)];
      return {
        inverse: new Tensor(
          'float32',
          Float32Array.from(variances, (v) => 1 / Math.sqrt(v + 0.01)),
          [3],
        ),
      };
    },
  },
  ...convolutions.map((item) => ({
    ...{ op: 'Conv', gradient: 'ConvGrad', from: ['dY', 'x0', 'x1'], gives: [0, 1, 2] },
    ...item,
    gradientAttributes: { strides: [1, 1].slice(0, item.attributes.kernel_shape.length), ...item.attributes },
  })),
  {
    ...{ op: 'MaxPool', shapes: [[2, 2, 7, 6]], attributes: window, outputs: 2 },
    ...{ gradient: 'MaxPoolGrad', from: ['dY', 'y.1'], gradientDomain: '' },
  },
  ...[0, 1].map((count_include_pad) => ({
    ...{ op: 'AveragePool', shapes: [[2, 2, 7, 6]], attributes: { ...window, count_include_pad } },
    ...{ gradient: 'AveragePoolGrad', from: ['dY'], gradientDomain: '' },
  })),
  {
    ...{ op: 'Gather', shapes: [[5, 3]], ...indices([0, 2, 2, 4], [2, 2]), attributes: { axis: 0 } },
    ...{ gradient: 'GatherGrad', from: ['shape', 'indices', 'dY'] },
  },
  {
    ...{ op: 'Gather', shapes: [[2, 5, 3]], ...indices([1, 1, 4], [3]), attributes: { axis: 1 } },
    ...{ gradient: 'GatherGrad', from: ['shape', 'indices', 'dY'] },
  },
  {
    ...{ op: 'GatherElements', shapes: [[3, 3]], ...indices([0, 0, 1, 2, 1, 1], [2, 3]), attributes: { axis: 0 } },
    ...{ gradient: 'GatherElementsGrad', from: ['dY', 'shape', 'indices'] },
  },
  // Not GatherNDGrad: in the 32-bit build it writes a shape of garbage and fails. Nor SliceGrad in steps back: it fails too.
  {
    ...{
      op: 'Slice',
      shapes: [[5, 6]],
      integers: [
        [0, 1],
        [5, 6],
        [0, 1],
        [2, 3],
      ],
    },
    ...{ gradient: 'SliceGrad', from: ['dY', 'shape', 'starts', 'ends', 'axes', 'steps'] },
    more: (values) => ({
      ...{ shape: shapeOf(values, 'x0'), starts: int64([0, 1]), ends: int64([5, 6]) },
      ...{ axes: int64([0, 1]), steps: int64([2, 3]) },
    }),
  },
  {
    ...{ op: 'Dropout', shapes: [[4, 6]], rest: [{ float32: 0.25 }, { bool: [1], dims: [] }], outputs: 2 },
    ...{
      attributes: { seed: 3 },
      gradient: 'DropoutGrad',
      from: ['dY', 'y.1', 'ratio', 'yes'],
      gradientAttributes: {},
    },
    more: () => ({
      ratio: new Tensor('float32', Float32Array.of(0.25), []),
      yes: new Tensor('bool', Uint8Array.of(1), []),
    }),
  },
];

const labels = { int64: [2, 0, 3, 3, 1, 2] };
for (const reduction of ['mean', 'sum']) {
  for (const weights of [undefined, [1, 2, 0.5, 3]]) {
    cases.push({
      ...{ op: 'SoftmaxCrossEntropyLoss', shapes: [[6, 4]], outputs: 2, attributes: { reduction, ignore_index: 1 } },
      rest: [labels, ...(weights ? [{ float32: weights }] : [])],
      gradient: 'SoftmaxCrossEntropyLossGrad',
      from: ['dY', 'y.1', 'labels', ...(weights ? ['weights'] : [])],
      more: () => ({
        labels: int64(labels.int64),
        ...(weights && { weights: new Tensor('float32', Float32Array.from(weights), [4]) }),
      }),
    });
  }
}

/** Our gradients, what the forward node was given and made, and dY. */
async function ours(item: OracleCase) {
  const { g, model, feeds, names, used } = forwardOf(item);
  const [y = ''] = used;
  const dims = (await probe(model, feeds)).get(y)!.shape;
  const dY = g.input('dY', 'float32', dims);
  feeds[dY] = new Tensor(
    'float32',
    noise(
      dims.reduce((product, size) => product * size, 1),
      9,
    ),
    [...dims],
  );
  const loss = g.op('ReduceSum', [g.op('Mul', [y, dY])], { keepdims: 0 });
  const shapes = await probe(model, feeds);
  const { model: training, gradients } = buildTrainingGraph(model, { loss, wrt: names, shapes });
  const made = training.graph!.node.find(({ opType }) => opType === item.op)!.output;
  for (const name of made)
    training.graph!.output.push({ ...training.graph!.output[0]!, name, type: undefined as never });
  const session = await open(training);
  const run = await session.run(feeds);
  await session.release();
  const values = {
    ...feeds,
    ...Object.fromEntries(made.map((name, index) => [made.length > 1 ? `y.${index}` : 'y', run[name]!])),
  };
  return { values, gradients: names.map((name) => run[gradients.get(name)!]!) };
}

async function theirs(item: OracleCase, values: Feeds) {
  const { gradient, from, gives = [0], gradientAttributes = item.attributes, gradientDomain = 'com.microsoft' } = item;
  const given: Feeds = { ...values, ...item.more?.(values) };
  const g = GraphBuilder.create('official');
  const inputs = from.map((name) => g.input(name, given[name]!.type as ElementType, given[name]!.dims));
  const outputs = g.ops(gradient, inputs, gives.length, gradientAttributes, {
    name: 'gradient',
    domain: gradientDomain,
  });
  for (const [index, of] of gives.entries()) g.output(outputs[index]!, 'float32', values[`x${of}`]!.dims);
  const feeds = Object.fromEntries(from.map((name) => [name, given[name]!]));
  const run = await runOfficially(modelOf(g.graph, { opset: 17, domains: { 'com.microsoft': 1 } }), feeds);
  return outputs.map((name) => run[name]!);
}

test.each(cases.map((item, index) => [`${index} ${item.op} as ${item.gradient}`, item] as const))(
  '%s',
  async (_, item) => {
    const { values, gradients } = await ours(item);
    const official = await theirs(item, values);
    for (const [index, of] of (item.gives ?? [0]).entries()) {
      const [wanted, got] = [official[index]!, gradients[of]!];
      expect(got.dims).toEqual([...wanted.dims]);
      const scale = Math.max(...(wanted.data as Float32Array).map(Math.abs));
      expect(scale).toBeGreaterThan(0);
      for (const [at, value] of (wanted.data as Float32Array).entries()) {
        expect(Math.abs((got.data as Float32Array)[at]! - value)).toBeLessThan(1e-5 * scale);
      }
    }
  },
);
