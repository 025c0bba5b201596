// The losses that are operators. Labels have a dimension less than the scores.
import type { Case, Fixed } from '../support.js';

const labels: Fixed = { int64: [2, 0, 1, 2] };
const plane: Fixed = { int64: [2, 0, 1, 2], dims: [2, 2] };
const weights: Fixed = { float32: [1, 2, 0.5] };

const shared = ['SoftmaxCrossEntropyLoss', 'NegativeLogLikelihoodLoss'].flatMap((op): Case[] => [
  ...['mean', 'sum', 'none'].flatMap((reduction) => [
    { op, shapes: [[4, 3]], rest: [labels], attributes: { reduction } },
    { op, shapes: [[4, 3]], rest: [labels, weights], attributes: { reduction, ignore_index: 2 }, opset: 13 },
    { op, shapes: [[2, 3, 2]], rest: [plane, weights], attributes: { reduction }, opset: 12 },
  ]),
  { op, shapes: [[4, 3]], rest: [{ int64: [2, -1, 1, -1] }], attributes: { ignore_index: -1 } },
  { op, shapes: [[2, 3, 1, 2]], rest: [{ int64: [2, 0, 1, 2], dims: [2, 1, 2] }] },
]);

export const lossCases: Case[] = [
  ...shared,
  { op: 'SoftmaxCrossEntropyLoss', shapes: [[4, 3]], rest: [labels, weights], outputs: 2, used: [0, 1] },
  { op: 'SoftmaxCrossEntropyLoss', shapes: [[2, 3, 2]], rest: [plane], outputs: 2, used: [1] },
];
