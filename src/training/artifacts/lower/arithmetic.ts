// Small operators of the training builds that have a standard counterpart, and the gradients of Div and Resize.
import { intAttribute } from '../../../autodiff/rule.js';
import type { Value } from '../../../onnx/build/graph-builder.js';
import {
  byRule,
  exact,
  type Lowered,
  type LoweringContext,
  type LoweringFamily,
  like,
  unsupported,
} from './lowering.js';

// y = x scale, or x / scale; the scale may be an integer
function scale(c: LoweringContext): Lowered {
  const operator = intAttribute(c.node, 'scale_down', 0) === 1 ? 'Div' : 'Mul';
  return [c.emit(operator, [c.input(0), c.emit('CastLike', [c.input(1), c.input(0)])])];
}

function div(c: LoweringContext): Lowered {
  const [dY, a, b] = [c.input(0), c.input(1), c.input(2)];
  const quotient = c.emit('Div', [a, b]);
  const facts = (value: Value) => c.facts(value === quotient ? dY : value);
  return byRule({ ...c, facts }, { opType: 'Div', inputs: [a, b], outputs: [quotient], dY });
}

// The axes to sum over to undo broadcasting of a and of b, from their shapes: where one has length 1, or no axis at all,
// and the other does not have length 1. Shapes are padded with ones in front to compare them.
function broadcastGradientArgs(c: LoweringContext): Lowered {
  const { graph } = c;
  const [a, b] = [c.input(0), c.input(1)];
  const ranks = [a, b].map((shape) => c.emit('Shape', [shape]));
  const rank = c.emit('Max', ranks);
  const padded = (shape: Value, length: Value) => {
    const ones = c.emit('Expand', [graph.int64([1]), c.emit('Sub', [rank, length])]);
    return c.emit('Concat', [ones, shape], { axis: 0 });
  };
  const shapes = [padded(a, ranks[0] ?? ''), padded(b, ranks[1] ?? '')];
  const repeated = (own: Value, other: Value, length: Value) => {
    const single = c.emit('Equal', [own, graph.int64(1)]);
    const stretched = c.emit('And', [single, c.emit('Not', [c.emit('Equal', [other, graph.int64(1)])])]);
    const missing = c.emit('Sub', [rank, length]);
    const position = c.emit('Sub', [
      c.emit('CumSum', [c.emit('Expand', [graph.int64([1]), rank]), graph.int64(0)]),
      graph.int64(1),
    ]);
    const absent = c.emit('Less', [position, missing]);
    const axes = c.emit('NonZero', [c.emit('Or', [stretched, absent])]);
    return c.emit('Reshape', [axes, graph.int64([-1])]);
  };
  return [
    repeated(shapes[0] ?? '', shapes[1] ?? '', ranks[0] ?? ''),
    repeated(shapes[1] ?? '', shapes[0] ?? '', ranks[1] ?? ''),
  ];
}

function reduceSum(c: LoweringContext): Lowered {
  const { node } = c;
  const noop_with_empty_axes = intAttribute(node, 'noop_with_empty_axes', 0);
  return [
    c.emit('ReduceSum', [c.input(0), c.input(1)], {
      keepdims: intAttribute(node, 'keepdims', 1),
      noop_with_empty_axes,
    }),
  ];
}

/** The second output has the lengths that the pieces had along the axis. */
function concat(c: LoweringContext): Lowered {
  const { node, graph } = c;
  const axis = intAttribute(node, 'axis', 0);
  const length = (value: Value) => c.emit('Gather', [c.emit('Shape', [value]), graph.int64([axis])]);
  const lengths = () => c.emit('Concat', node.input.map(length), { axis: 0 });
  return [c.emit('Concat', node.input, { axis }), node.output[1] ? lengths() : null];
}

function split(c: LoweringContext): Lowered {
  return c.emitAll('Split', [c.input(0), c.input(1)], c.node.output.length, { axis: intAttribute(c.node, 'axis', 0) });
}

function resize(c: LoweringContext): Lowered {
  const [dY, x, roi, scales] = [c.input(0), c.input(1), c.input(2), c.input(3)];
  if (scales === '') throw unsupported(c, 'it has no scales');
  return byRule(c, { opType: 'Resize', inputs: [x, roi, scales], outputs: [dY], dY, wanted: [0] });
}

export const arithmetic: LoweringFamily = {
  Scale: exact(scale),
  DivGrad: { standIn: like(1, 2), lower: div },
  BroadcastGradientArgs: exact(broadcastGradientArgs),
  ReduceSumTraining: exact(reduceSum),
  ConcatTraining: exact(concat),
  SplitTraining: exact(split),
  ResizeGrad: { standIn: like(1), lower: resize },
};
