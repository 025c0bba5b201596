// Reductions over axes, and the running sum.
import type { Value } from '../../onnx/build/graph-builder.js';
import { arithmetic } from '../arithmetic.js';
import {
  changeAxes,
  floatType,
  input,
  intAttribute,
  intsAttribute,
  output,
  type Rule,
  type RuleContext,
  type RuleFamily,
  sum,
} from '../rule.js';

/** A value in the output's shape with the reduced axes put back, of length 1. */
function withAxes(c: RuleContext, value: Value): Value {
  const { shape } = c.facts(input(c, 0));
  const rank = c.facts(output(c)).shape.length;
  // A scalar stretches to any shape, and there is nothing to put back where the axes were kept, or there were none.
  if (rank === shape.length || rank === 0) return value;
  const given = intsAttribute(c.node, 'axes');
  // Axes computed in the graph: since opset 18, or 13 for ReduceSum.
  if (given === undefined) return c.emit('Unsqueeze', [value, input(c, 1)]);
  return changeAxes(
    c,
    'Unsqueeze',
    value,
    given.map((axis) => (axis < 0 ? axis + shape.length : axis)),
  );
}

// Every summed element gets the dY of its sum.
function spread(c: RuleContext): Value {
  return c.emit('Expand', [withAxes(c, c.dY), c.emit('Shape', [input(c, 0)])]);
}

// As the sum, divided by how many elements share a mean; counted when run, so that the batch may differ.
const reduceMean: Rule = (c) => {
  const size = (value: Value) => c.emit('Cast', [c.emit('Size', [value])], { to: floatType(c, input(c, 0)) });
  const share = c.emit('Div', [size(output(c)), size(input(c, 0))]);
  return [c.emit('Expand', [withAxes(c, c.emit('Mul', [c.dY, share])), c.emit('Shape', [input(c, 0)])])];
};

/** The elements that are equal to the extreme `y` share its `dY`; both stretch to x. */
function shared(c: RuleContext, { y, dY }: { y: Value; dY: Value }, count: (chosen: Value) => Value): Value {
  const { div, mul } = arithmetic(c);
  const x = input(c, 0);
  const chosen = c.emit('Cast', [c.emit('Equal', [x, y])], { to: floatType(c, x) });
  return mul(chosen, div(dY, count(chosen)));
}

const reduceExtreme: Rule = (c) => {
  const axes = intsAttribute(c.node, 'axes');
  const noop_with_empty_axes = c.opset >= 18 ? intAttribute(c.node, 'noop_with_empty_axes', 0) : undefined;
  const count = (chosen: Value) =>
    axes === undefined
      ? c.emit('ReduceSum', [chosen, ...c.inputs.slice(1)], { keepdims: 1, noop_with_empty_axes })
      : sum(c, chosen, axes, true);
  return [shared(c, { y: withAxes(c, output(c)), dY: withAxes(c, c.dY) }, count)];
};

const globalMaxPool: Rule = (c) => {
  const axes = c.facts(input(c, 0)).shape.flatMap((_, axis) => (axis >= 2 ? [axis] : []));
  return [shared(c, { y: output(c), dY: c.dY }, (chosen) => sum(c, chosen, axes, true))];
};

// Each x is in all sums from its own on: the running sum of dY from the other end.
const cumSum: Rule = (c) => {
  const exclusive = intAttribute(c.node, 'exclusive', 0);
  const reverse = 1 - intAttribute(c.node, 'reverse', 0);
  return [c.emit('CumSum', [c.dY, input(c, 1)], { exclusive, reverse })];
};

export const reduction: RuleFamily = {
  ReduceSum: (c) => [spread(c)],
  ReduceMean: reduceMean,
  ReduceMax: reduceExtreme,
  ReduceMin: reduceExtreme,
  GlobalMaxPool: globalMaxPool,
  CumSum: cumSum,
};
