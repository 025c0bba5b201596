// Normalization with the statistics that the forward operator has kept, so that nothing is computed twice.
import { floatAttribute, intAttribute } from '../../../autodiff/rule.js';
import { float } from '../../../onnx/build/attributes.js';
import type { Value } from '../../../onnx/build/graph-builder.js';
import { exact, type Lowered, type LoweringContext, type LoweringFamily, like } from './lowering.js';

// Momentum 0 makes the operator's running statistics those of the batch, exactly, from which the others follow.
function batchNormInternal(c: LoweringContext): Lowered {
  const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((index) => c.input(index)) as [
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  const epsilon = floatAttribute(c.node, 'epsilon', 1e-5);
  const momentum = floatAttribute(c.node, 'momentum', 0.9);
  const attributes = { epsilon: float(epsilon), momentum: float(0), training_mode: 1 };
  // Copies: the runtime may write the new statistics over the old ones.
  const [y = '', batchMean = '', batchVariance = ''] = c.emitAll(
    'BatchNormalization',
    [x, scale, bias, copy(c, mean), copy(c, variance)],
    3,
    attributes,
  );
  const running = (old: Value, now: Value) =>
    c.emit('Add', [
      c.emit('Mul', [old, c.graph.float32(momentum)]),
      c.emit('Mul', [now, c.graph.float32(1 - momentum)]),
    ]);
  const deviation = c.emit('Sqrt', [c.emit('Add', [batchVariance, c.graph.float32(epsilon)])]);
  const named = (index: number) => (c.node.output[index] ?? '') !== '';
  return [
    y,
    named(1) ? running(mean, batchMean) : null,
    named(2) ? running(variance, batchVariance) : null,
    batchMean,
    named(4) ? c.emit('Reciprocal', [deviation]) : null,
  ];
}

function copy(c: LoweringContext, value: Value): Value {
  return c.emit('Mul', [value, c.graph.float32(1)]);
}

// With x^ = (x - mean) / deviation: dbias = sum dY, dscale = sum(dY x^),
// dX = scale / deviation (dY - mean of dY - x^ mean of (dY x^))
function batchNormalization(c: LoweringContext): Lowered {
  const [dY, x, scale, mean, inverse] = [0, 1, 2, 3, 4].map((index) => c.input(index)) as [
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  const rank = c.facts(x).shape.length;
  const axes = c.graph.int64(Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1));
  const channels = c.graph.int64(Array.from({ length: rank }, (_, axis) => (axis === 1 ? -1 : 1)));
  const column = (value: Value) => c.emit('Reshape', [value, channels]);
  const normal = c.emit('Mul', [c.emit('Sub', [x, column(mean)]), column(inverse)]);
  const sum = (value: Value) => c.emit('ReduceSum', [value, axes], { keepdims: 0 });
  const [dBias, dScale] = [sum(dY), sum(c.emit('Mul', [dY, normal]))];
  const count = c.emit('Cast', [c.emit('Size', [x])], { to: 1 });
  const share = c.emit('Div', [c.emit('Cast', [c.emit('Size', [scale])], { to: 1 }), count]);
  const average = (total: Value) => column(c.emit('Mul', [total, share]));
  const centred = c.emit('Sub', [dY, average(dBias)]);
  const rest = c.emit('Sub', [centred, c.emit('Mul', [normal, average(dScale)])]);
  return [c.emit('Mul', [rest, column(c.emit('Mul', [scale, inverse]))]), dScale, dBias];
}

// The same over the axes from `axis` on, with the scale inside the sums; `mean` is null for the root-mean-square form.
function layerNormalization(c: LoweringContext, mean: Value | null, inverse: Value): Lowered {
  const [dY, x, scale] = [c.input(0), c.input(1), c.input(2)];
  const rank = c.facts(x).shape.length;
  const first = (intAttribute(c.node, 'axis', -1) + rank) % rank;
  const inner = c.graph.int64(Array.from({ length: rank - first }, (_, axis) => first + axis));
  const outer = Array.from({ length: first }, (_, axis) => axis);
  const average = (value: Value) => {
    const total = c.emit('ReduceSum', [value, inner], { keepdims: 1 });
    const ratio = [total, value].map((each) => c.emit('Cast', [c.emit('Size', [each])], { to: 1 }));
    return c.emit('Mul', [total, c.emit('Div', ratio)]);
  };
  const sum = (value: Value) =>
    first === 0 ? value : c.emit('ReduceSum', [value, c.graph.int64(outer)], { keepdims: 0 });
  const normal = c.emit('Mul', [mean === null ? x : c.emit('Sub', [x, mean]), inverse]);
  const inside = c.emit('Mul', [dY, scale]);
  const along = c.emit('Mul', [normal, average(c.emit('Mul', [inside, normal]))]);
  const centred = mean === null ? inside : c.emit('Sub', [inside, average(inside)]);
  const dX = c.emit('Mul', [c.emit('Sub', [centred, along]), inverse]);
  return [dX, sum(c.emit('Mul', [dY, normal])), sum(dY)];
}

export const normalization: LoweringFamily = {
  BatchNormInternal: exact(batchNormInternal),
  BatchNormalizationGrad: { standIn: like(1, 2, 2), lower: batchNormalization },
  LayerNormalizationGrad: {
    standIn: like(1, 2, 2),
    lower: (c) => layerNormalization(c, c.input(3), c.input(4)),
  },
  SimplifiedLayerNormalizationGrad: {
    standIn: like(1, 2),
    lower: (c) => layerNormalization(c, null, c.input(3)),
  },
};
