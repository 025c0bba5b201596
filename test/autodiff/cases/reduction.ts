// Reductions and the softmax family, over every way that the operator sets pass axes.
import type { Case } from '../support.js';

const small = (value: number) => value / 2;

const reductions = ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin'].flatMap((op): Case[] => {
  const since = op === 'ReduceSum' ? 13 : 18;
  return [
    { op, shapes: [[2, 3, 2]], attributes: { axes: [1], keepdims: 0 }, opset: since - 1 },
    { op, shapes: [[2, 3, 2]], attributes: { axes: [-1, 0] }, opset: 11 },
    { op, shapes: [[2, 3, 2]], attributes: { axes: [0, -1], keepdims: 0 }, opset: 11 },
    { op, shapes: [[2, 3]], attributes: { keepdims: 0 }, opset: 11 },
    { op, shapes: [[2, 3]] },
    { op, shapes: [[2, 3, 2]], integers: [[1, -1]], attributes: { keepdims: 0 }, opset: since },
    { op, shapes: [[2, 3, 2]], integers: [[0]], opset: 21 },
    { op, shapes: [[2, 3]], integers: [[]], attributes: { keepdims: 0 }, opset: since },
    { op, shapes: [[2, 3]], integers: [[]], attributes: { noop_with_empty_axes: 1, keepdims: 0 }, opset: since },
    { op, shapes: [[2, 3]], attributes: { noop_with_empty_axes: 1 }, opset: since },
  ];
});

export const reductionCases: Case[] = [
  ...reductions,
  { op: 'GlobalMaxPool', shapes: [[2, 3, 2, 4]] },
  { op: 'GlobalMaxPool', shapes: [[2, 3, 4]], opset: 11 },
  ...[0, 1].flatMap((exclusive) =>
    [0, 1].map((reverse) => ({
      op: 'CumSum',
      shapes: [[2, 4]],
      rest: [{ int64: exclusive - 1 }],
      attributes: { exclusive, reverse },
    })),
  ),
  ...['Softmax', 'LogSoftmax'].flatMap((op) => [
    { op, shapes: [[2, 5]], transform: small },
    { op, shapes: [[2, 3, 2]], attributes: { axis: 1 } },
    { op, shapes: [[2, 5]], opset: 11 },
    // Before 13: over all axes from this one on.
    { op, shapes: [[2, 3, 2]], opset: 12 },
    { op, shapes: [[2, 3, 2]], attributes: { axis: 0 }, opset: 11 },
    { op, shapes: [[2, 3, 2]], attributes: { axis: -2 }, opset: 11 },
  ]),
];
