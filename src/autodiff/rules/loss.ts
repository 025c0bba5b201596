// The losses that ONNX has as operators. Labels get no gradient, nor do class weights.
import type { Value } from '../../onnx/build/graph-builder.js';
import { arithmetic } from '../arithmetic.js';
import {
  changeAxes,
  floatType,
  input,
  type Rule,
  type RuleContext,
  type RuleFamily,
  secondOutput,
  stringAttribute,
  sum,
} from '../rule.js';

// loss_i = -w[label_i] log p_i[label_i], then none, the sum, or the mean: divided by the sum of the weights.
// d log p = -onehot w dY, divided likewise.
function logGradient(c: RuleContext): Value {
  const { div, mul, of } = arithmetic(c);
  const { shape } = c.facts(input(c, 0));
  const [, labels = '', weights] = c.inputs;
  const ids = changeAxes(c, 'Unsqueeze', c.emit('Cast', [labels], { to: 7 }), [1]);
  const perClass = [shape[1] ?? 0, ...shape.slice(2).map(() => 1)];
  const oneHot = c.emit('Cast', [c.emit('Equal', [ids, classIds(c, perClass)])], { to: floatType(c, input(c, 0)) });
  const h = weights ? mul(oneHot, c.emit('Reshape', [weights, c.graph.int64(perClass)])) : oneHot;
  const reduction = stringAttribute(c.node, 'reduction', 'mean');
  if (reduction === 'none') return of('Neg', mul(h, changeAxes(c, 'Unsqueeze', c.dY, [1])));
  const share = reduction === 'mean' ? div(c.dY, c.emit('ReduceSum', [h], { keepdims: 0 })) : c.dY;
  return mul(h, of('Neg', share));
}

/** The labels that the classes go by; a class to ignore goes by an integer that no label is. */
function classIds(c: RuleContext, dims: readonly number[]): Value {
  const ignored = c.node.attribute.find(({ name }) => name === 'ignore_index')?.i;
  const ids = Array.from({ length: dims[0] ?? 0 }, (_, id) => (BigInt(id) === ignored ? -(2n ** 63n) : BigInt(id)));
  return c.graph.constant(dims, BigInt64Array.from(ids));
}

// log p is the second output, and may be used too: d logits = d log p - p sum(d log p)
const softmaxCrossEntropyLoss: Rule = (c) => {
  const { add, mul, of, sub } = arithmetic(c);
  const used = c.dYs(1);
  const own = c.dYs(0) === undefined ? undefined : logGradient(c);
  const total = own !== undefined && used !== undefined ? add(own, used) : (own ?? used ?? '');
  const probabilities = of('Exp', secondOutput(c, 'log_probabilities'));
  return [sub(total, mul(probabilities, sum(c, total, [1], true)))];
};

export const lossOperators: RuleFamily = {
  SoftmaxCrossEntropyLoss: softmaxCrossEntropyLoss,
  NegativeLogLikelihoodLoss: (c) => [logGradient(c)],
};
