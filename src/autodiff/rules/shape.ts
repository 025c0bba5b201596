// Operators that only move elements: the gradient moves them back.
import { input, intAttribute, intsAttribute, type Rule, type RuleFamily, reshapeLike, zerosLike } from '../rule.js';

const reshape: Rule = (c) => [reshapeLike(c, c.dY, input(c, 0))];

// Y = X with axes permuted: dX is dY with the inverse permutation.
const transpose: Rule = (c) => {
  const rank = c.facts(input(c, 0)).shape.length;
  const perm = intsAttribute(c.node, 'perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  return [c.emit('Transpose', [c.dY], { perm: perm.map((_, axis) => perm.indexOf(axis)) })];
};

// The pieces put together again, with zeros for those that the loss does not depend on.
const split: Rule = (c) => {
  const pieces = c.outputs.map((value, index) => c.dYs(index) ?? zerosLike(c, value));
  return [c.emit('Concat', pieces, { axis: intAttribute(c.node, 'axis', 0) })];
};

export const shape: RuleFamily = {
  Reshape: reshape,
  Flatten: reshape,
  Squeeze: reshape,
  Unsqueeze: reshape,
  Transpose: transpose,
  Split: split,
  // Summed back by the walk.
  Expand: (c) => [{ value: c.dY, shape: c.facts(c.outputs[0] ?? '').shape }],
};
