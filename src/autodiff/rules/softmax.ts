// The softmax family, whose gradients are sums.
import { input, intAttribute, output, type Rule, type RuleContext, type RuleFamily, sum } from '../rule.js';

/** What it is normalised over: one axis, or, before opset 13, all from the axis on. */
function axesOf(c: RuleContext): number[] {
  const rank = c.facts(input(c, 0)).shape.length;
  const axis = intAttribute(c.node, 'axis', c.opset >= 13 ? -1 : 1);
  const first = axis < 0 ? axis + rank : axis;
  return c.opset >= 13 ? [first] : Array.from({ length: rank - first }, (_, index) => first + index);
}

// dX = Y (dY - sum(dY Y))
const softmax: Rule = (c) => {
  const weighted = c.emit('Mul', [c.dY, output(c)]);
  const total = sum(c, weighted, axesOf(c), true);
  return [c.emit('Sub', [weighted, c.emit('Mul', [output(c), total])])];
};

// dX = dY - softmax(X) sum(dY)
const logSoftmax: Rule = (c) => {
  const total = sum(c, c.dY, axesOf(c), true);
  return [c.emit('Sub', [c.dY, c.emit('Mul', [c.emit('Exp', [output(c)]), total])])];
};

export const softmaxes: RuleFamily = { Softmax: softmax, LogSoftmax: logSoftmax };
