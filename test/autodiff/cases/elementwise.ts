// Arithmetic and activations, kept away from their kinks.
import { float } from '../../../src/onnx/build/attributes.js';
import type { Case } from '../support.js';

const positive = (value: number) => Math.abs(value) + 0.5;
const apart = (value: number, input: number) => value + 0.15 * input;
const wide = (value: number) => 3 * value + 0.2;

export const elementwiseCases: Case[] = [
  // The exponent is trained only over positive bases.
  { op: 'Pow', shapes: [[2, 3], [3]], transform: positive },
  { op: 'Pow', shapes: [[2, 3]], rest: [{ float32: 2 }] },
  { op: 'Pow', shapes: [[2, 3]], rest: [{ float32: 3 }], opset: 11 },
  { op: 'Pow', shapes: [[2, 3]], rest: [{ int64: [1, 2, 3] }] },
  { op: 'Pow', shapes: [[2, 3]], rest: [{ float32: [0, 1, 2] }], transform: Math.round }, // 0^0 is constant
  { op: 'Pow', shapes: [[5]], rest: [{ int64: 0 }], transform: Math.round, opset: 12 },
  { op: 'Pow', shapes: [[2, 1]], rest: [{ float32: [0.5, -1.5] }], transform: positive, opset: 12 },
  ...['Max', 'Min'].flatMap((op) => [
    { op, shapes: [[2, 3], [3], [2, 1]], transform: apart },
    {
      op,
      shapes: [
        [2, 3],
        [2, 3],
      ],
      transform: apart,
      opset: 11,
    },
    { op, shapes: [[5], [5]], transform: (value: number) => Math.round(value) }, // ties: half each
    { op, shapes: [[5]] },
    { op, shapes: [[2, 3]], rest: [{ float32: 0.1 }] },
  ]),
  { op: 'Where', shapes: [[2, 3], [3]], rest: [{ bool: [1, 0, 1], dims: [3] }], order: [2, 0, 1] },
  {
    op: 'Where',
    shapes: [[3], [2, 1]],
    rest: [{ bool: [1, 0, 1, 1, 0, 0], dims: [2, 3] }],
    order: [2, 0, 1],
    opset: 11,
  },
  { op: 'Cast', shapes: [[2, 3]], attributes: { to: 1 } },
  { op: 'CastLike', shapes: [[2, 3]], rest: [{ float32: 1 }] },
];

export const activationCases: Case[] = [
  { op: 'Clip', shapes: [[2, 5]], rest: [{ float32: -1.03 }, { float32: 1.07 }] },
  { op: 'Clip', shapes: [[2, 5]], rest: [{ float32: -0.53 }], opset: 11 },
  { op: 'Clip', shapes: [[2, 5]], rest: [null, { float32: 0.57 }] },
  { op: 'Clip', shapes: [[2, 5]] },
  { op: 'Clip', shapes: [[2, 5], [], []], transform: (value, at) => value / (at + 1) + [0.05, -1, 1][at]! },
  ...[[], [3], [2, 3], [2, 1]].map((slope) => ({ op: 'PRelu', shapes: [[2, 3], slope] })),
  {
    op: 'PRelu',
    shapes: [
      [2, 3, 2, 2],
      [3, 1, 1],
    ],
    opset: 11,
  },
  { op: 'Elu', shapes: [[2, 5]] },
  { op: 'Elu', shapes: [[2, 5]], attributes: { alpha: float(0.5) } },
  { op: 'LeakyRelu', shapes: [[2, 5]], attributes: { alpha: float(1.5) } },
  { op: 'LeakyRelu', shapes: [[2, 5]], attributes: { alpha: float(-0.5) } },
  { op: 'HardSigmoid', shapes: [[2, 5]], transform: wide },
  { op: 'HardSigmoid', shapes: [[2, 5]], attributes: { alpha: float(0.7), beta: float(0.4) } },
  { op: 'HardSwish', shapes: [[2, 8]], transform: wide },
  { op: 'Mish', shapes: [[2, 8]], transform: wide, opset: 18 },
  { op: 'Erf', shapes: [[2, 5]] },
  ...['none', 'tanh'].map((approximate) => ({ op: 'Gelu', shapes: [[2, 5]], attributes: { approximate }, opset: 20 })),
];
