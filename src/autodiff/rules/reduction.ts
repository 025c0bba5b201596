// Sums and means over axes, and the softmax family, whose gradients are sums.

import { SecateurError } from '../../errors.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import {
  input,
  intAttribute,
  intsAttribute,
  output,
  type Rule,
  type RuleContext,
  type RuleFamily,
  sum,
} from '../rule.js';

// Every summed element gets the dY of its sum: put the axes back with length 1, then expand.
function spread(c: RuleContext): Value {
  const x = input(c, 0);
  const { shape } = c.facts(x);
  const kept = intAttribute(c.node, 'keepdims', 1) === 1;
  const shapeOfX = c.emit('Shape', [x]);
  if (kept || c.facts(output(c)).shape.length === 0) return c.emit('Expand', [c.dY, shapeOfX]);
  const given = intsAttribute(c.node, 'axes');
  if (given === undefined) {
    // Axes computed in the graph: since opset 18, or 13 for ReduceSum.
    const unsqueezed = c.inputs[1] ? c.emit('Unsqueeze', [c.dY, c.inputs[1]]) : c.dY;
    return c.emit('Expand', [unsqueezed, shapeOfX]);
  }
  const axes = given.map((axis) => (axis < 0 ? axis + shape.length : axis));
  const unsqueezed =
    c.opset >= 13 ? c.emit('Unsqueeze', [c.dY, c.graph.int64(axes)]) : c.emit('Unsqueeze', [c.dY], { axes });
  return c.emit('Expand', [unsqueezed, shapeOfX]);
}

// As the sum, divided by how many elements share a mean; counted when run, so that the batch may differ.
const reduceMean: Rule = (c) => {
  const x = input(c, 0);
  const { dtype } = c.facts(x);
  const to = dtype === 'float64' ? 11 : 1;
  const size = (value: Value) => c.emit('Cast', [c.emit('Size', [value])], { to });
  const share = c.emit('Div', [size(output(c)), size(x)]);
  return [c.emit('Mul', [spread(c), share])];
};

function axisOf(c: RuleContext): number {
  const rank = c.facts(input(c, 0)).shape.length;
  const axis = intAttribute(c.node, 'axis', c.opset >= 13 ? -1 : 1);
  const positive = axis < 0 ? axis + rank : axis;
  // Before opset 13 the operator flattened from the axis on: the same thing only on the last axis.
  if (c.opset < 13 && positive !== rank - 1) {
    throw new SecateurError(
      'UNSUPPORTED',
      `Expected ${c.node.opType} ${c.node.name} before opset 13 to be over the last axis, got axis ${axis}`,
    );
  }
  return positive;
}

// dX = Y (dY - sum(dY Y))
const softmax: Rule = (c) => {
  const weighted = c.emit('Mul', [c.dY, output(c)]);
  const total = sum(c, weighted, [axisOf(c)], true);
  return [c.emit('Sub', [weighted, c.emit('Mul', [output(c), total])])];
};

// dX = dY - softmax(X) sum(dY)
const logSoftmax: Rule = (c) => {
  const total = sum(c, c.dY, [axisOf(c)], true);
  return [c.emit('Sub', [c.dY, c.emit('Mul', [c.emit('Exp', [output(c)]), total])])];
};

export const reduction: RuleFamily = {
  ReduceSum: (c) => [spread(c)],
  ReduceMean: reduceMean,
  Softmax: softmax,
  LogSoftmax: logSoftmax,
};
