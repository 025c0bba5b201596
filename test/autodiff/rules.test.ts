// Every rule against central differences, over a table of shapes and attributes.
import { expect, test } from 'vitest';
import { noGradient } from '../../src/autodiff/rule.js';
import { contribRules, rules } from '../../src/autodiff/rules/index.js';
import { float } from '../../src/onnx/build/attributes.js';
import { activationCases, elementwiseCases } from './cases/elementwise.js';
import { lossCases } from './cases/loss.js';
import { movementCases } from './cases/movement.js';
import { batchNormCases, dropoutCases, poolingCases, sampleNormCases } from './cases/pooling.js';
import { reductionCases } from './cases/reduction.js';
import { type Case, worstError } from './support.js';

const positive = (value: number) => Math.abs(value) + 0.5;
const broadcasts = [
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3], [3]],
  [
    [2, 1, 3],
    [4, 1],
  ],
  [[], [2, 2]],
];
const products = [
  [
    [2, 3],
    [3, 4],
  ],
  [
    [2, 2, 3],
    [3, 2],
  ],
  [
    [2, 1, 2, 3],
    [3, 3, 2],
  ],
  [[3], [3, 2]],
  [[2, 3], [3]],
  [[2, 2, 3], [3]],
  [[3], [2, 3, 2]],
  [[3], [3]],
];

const cases: Case[] = [
  ...['Add', 'Sub', 'Mul'].flatMap((op) => broadcasts.map((shapes) => ({ op, shapes }))),
  ...broadcasts.map((shapes) => ({ op: 'Div', shapes, transform: positive })),
  ...['Sum', 'Mean'].flatMap((op) => [
    { op, shapes: [[2, 1, 3], [4, 1], []] },
    { op, shapes: [[2, 3]] },
  ]),
  ...['Identity', 'Neg', 'Abs', 'Atan', 'Exp', 'Relu', 'Sigmoid', 'Tanh', 'Softplus'].map((op) => ({
    op,
    shapes: [[2, 5]],
  })),
  ...['Sqrt', 'Log', 'Reciprocal'].map((op) => ({ op, shapes: [[2, 5]], transform: positive })),
  { op: 'LeakyRelu', shapes: [[2, 5]], attributes: { alpha: float(0.2) } },
  { op: 'LeakyRelu', shapes: [[7]] },
  ...[0, 1].flatMap((transA) =>
    [0, 1].map((transB) => ({
      op: 'Gemm',
      shapes: [transA ? [3, 2] : [2, 3], transB ? [4, 3] : [3, 4], transA ? [4] : [2, 1]],
      attributes: { transA, transB, alpha: float(0.5), beta: float(transA ? 2 : 1) },
    })),
  ),
  {
    op: 'Gemm',
    shapes: [
      [2, 3],
      [3, 4],
    ],
  },
  ...products.map((shapes) => ({ op: 'MatMul', shapes })),
  { op: 'MatMul', shapes: [[3], [2, 3, 2]], opset: 11 },
  // The table of convolutions is in convolution.test.ts.
  { op: 'Conv', shapes: [[2, 2, 5], [3, 2, 3], [3]] },
  { op: 'ConvTranspose', shapes: [[2, 2, 5], [2, 3, 3], [3]] },
  { op: 'MaxPool', shapes: [[2, 2, 8]], attributes: { kernel_shape: [2], strides: [2] } },
  { op: 'MaxPool', shapes: [[2, 1, 2, 4, 6]], attributes: { kernel_shape: [2, 2, 2], strides: [2, 2, 2] } },
  { op: 'MaxPool', shapes: [[2, 1, 5, 7]], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
  { op: 'MaxPool', shapes: [[2, 1, 6, 7]], attributes: { kernel_shape: [2, 3], strides: [3, 3], pads: [0, 1, 1, 1] } },
  { op: 'MaxPool', shapes: [[2, 2, 4, 6]], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
  { op: 'MaxPool', shapes: [[2, 1, 6]], attributes: { kernel_shape: [2], strides: [2] }, opset: 12 },
  {
    op: 'MaxPool',
    shapes: [[2, 1, 6, 5]],
    attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
  },
  { op: 'MaxPool', shapes: [[2, 1, 5, 5]], attributes: { kernel_shape: [3, 2] }, opset: 18 },
  ...elementwiseCases,
  ...activationCases,
  ...reductionCases,
  ...poolingCases,
  ...sampleNormCases,
  ...batchNormCases,
  ...dropoutCases,
  ...movementCases,
  ...lossCases,
];

const contribCases: Case[] = [
  ...[0, 1, 2, 3].map((bits) => {
    const [transA, transB] = [bits & 1, bits >> 1];
    const shapes = [transA ? [2, 3, 2] : [2, 2, 3], transB ? [1, 4, 3] : [1, 3, 4]];
    return { op: 'FusedMatMul', shapes, attributes: { transA, transB, alpha: float(0.5) } };
  }),
  ...['Gelu', 'FastGelu'].map((op) => ({ op, shapes: [[2, 5]] })),
  ...['FastGelu', 'BiasGelu'].map((op) => ({ op, shapes: [[2, 5], [5]] })),
  { op: 'QuickGelu', shapes: [[2, 5]], attributes: { alpha: float(1.5) } },
].map((item) => ({ ...item, domain: 'com.microsoft' }));

/** Cases that name no operator set are tried with 17, and with the first and the last that know them. */
const versions = ({ op, attributes, opset, domain }: Case): (number | undefined)[] => {
  if (opset !== undefined || domain !== undefined) return [opset];
  const axesMoved = op.startsWith('Reduce') && attributes?.['axes'] !== undefined;
  const first = { BatchNormalization: 14, CastLike: 15, HardSwish: 14 }[op] ?? 13;
  const adds = ['Gather', 'GatherElements', 'GatherND', 'MaxPool'].includes(op) ? 16 : first;
  return [adds, 17, ...(axesMoved || op === 'Split' ? [] : [21])];
};

test.each(
  [...cases, ...contribCases]
    .flatMap((item) => versions(item).map((opset) => ({ ...item, opset }) as Case))
    .map(({ op, ...item }) => [`${op} ${JSON.stringify(item).replaceAll('"', '')}`, { op, ...item }] as const),
)('%s', async (_, item) => {
  expect(await worstError(item)).toBeLessThan(2e-3);
});

test('every rule has a case', () => {
  for (const [table, its] of [[rules, cases] as const, [contribRules, contribCases] as const]) {
    const tested = new Set(its.map(({ op }) => op));
    expect([...table].filter(([op, rule]) => rule !== noGradient && !tested.has(op)).map(([op]) => op)).toEqual([]);
  }
});
