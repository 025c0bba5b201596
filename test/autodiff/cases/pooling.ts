// Pools, and normalisation of samples.
import { float } from '../../../src/onnx/build/attributes.js';
import type { Case } from '../support.js';

export const poolingCases: Case[] = [
  { op: 'MaxPool', shapes: [[2, 1, 7, 7]], attributes: { kernel_shape: [2, 3], dilations: [2, 1], strides: [1, 2] } },
  {
    op: 'MaxPool',
    shapes: [[2, 2, 5, 4]],
    attributes: { kernel_shape: [3, 2], auto_pad: 'SAME_UPPER', strides: [2, 1] },
  },
  { op: 'MaxPool', shapes: [[2, 2, 5, 4]], attributes: { kernel_shape: [3, 2], auto_pad: 'SAME_LOWER' } },
  {
    op: 'MaxPool',
    shapes: [[2, 1, 5, 5]],
    attributes: { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 },
    opset: 11,
  },
  { op: 'MaxPool', shapes: [[2, 1, 6, 5]], attributes: { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 } },
  { op: 'MaxPool', shapes: [[2, 1, 4, 4]], attributes: { kernel_shape: [2, 2], strides: [2, 2], pads: [1, 1, 1, 1] } },
  { op: 'MaxPool', shapes: [[2, 1, 5, 5]], attributes: { kernel_shape: [2, 2], strides: [3, 3] } },
  { op: 'MaxPool', shapes: [[2, 1, 4, 3, 4]], attributes: { kernel_shape: [2, 2, 2], strides: [2, 1, 2] } },
  ...[0, 1]
    .flatMap((count_include_pad) => [
      { shapes: [[2, 2, 4, 6]], attributes: { kernel_shape: [2, 3], strides: [2, 3], count_include_pad } },
      {
        shapes: [[2, 2, 5, 5]],
        attributes: { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1], count_include_pad },
      },
      {
        shapes: [[2, 1, 5, 6]],
        attributes: { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1, count_include_pad },
      },
      // As many windows as would tile the image, but moved by the pads.
      { shapes: [[2, 1, 6]], attributes: { kernel_shape: [3], strides: [3], pads: [1, 1], count_include_pad } },
      { shapes: [[2, 1, 4]], attributes: { kernel_shape: [2], strides: [2], pads: [1, 0], count_include_pad } },
      {
        shapes: [[2, 1, 6, 6]],
        attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 0, 0], ceil_mode: 1, count_include_pad },
        opset: 19,
      },
      {
        shapes: [[2, 1, 5, 4]],
        attributes: { kernel_shape: [3, 2], auto_pad: 'SAME_UPPER', strides: [2, 1], count_include_pad },
      },
      {
        shapes: [[2, 1, 7, 6]],
        attributes: { kernel_shape: [2, 3], dilations: [3, 1], pads: [1, 1, 0, 1], count_include_pad },
        opset: 19,
      },
    ])
    .map((item) => ({ op: 'AveragePool', ...item })),
  { op: 'AveragePool', shapes: [[2, 1, 5]], attributes: { kernel_shape: [2] }, opset: 11 },
  { op: 'AveragePool', shapes: [[2, 1, 5, 4]], attributes: { kernel_shape: [2, 2], auto_pad: 'SAME_LOWER' } },
  { op: 'AveragePool', shapes: [[2, 1, 5, 5]], attributes: { kernel_shape: [2, 2], strides: [3, 3] } },
  { op: 'AveragePool', shapes: [[2, 1, 3, 4, 2]], attributes: { kernel_shape: [2, 2, 2], strides: [1, 2, 1] } },
  { op: 'GlobalAveragePool', shapes: [[2, 3, 2, 4]] },
];

export const sampleNormCases: Case[] = [
  { op: 'LayerNormalization', shapes: [[2, 3, 4], [4], [4]] },
  { op: 'LayerNormalization', shapes: [[2, 3, 4], [4]], attributes: { epsilon: float(0.1) } },
  {
    op: 'LayerNormalization',
    shapes: [
      [2, 3, 4],
      [3, 4],
      [3, 4],
    ],
    attributes: { axis: 1 },
  },
  {
    op: 'LayerNormalization',
    shapes: [
      [2, 3, 4],
      [3, 4],
    ],
    attributes: { axis: -2 },
    opset: 21,
  },
  { op: 'LayerNormalization', shapes: [[5, 4], [4], [4]], opset: 18 },
  { op: 'InstanceNormalization', shapes: [[2, 3, 2, 3], [3], [3]] },
  { op: 'InstanceNormalization', shapes: [[2, 3, 4], [3], [3]], attributes: { epsilon: float(0.1) }, opset: 11 },
  { op: 'InstanceNormalization', shapes: [[2, 2, 2, 1, 2], [2], [2]], opset: 18 },
];

const positive = (value: number) => Math.abs(value) + 0.5;
const statistics = [{ float32: [0.5, -1, 0.25] }, { float32: [1, 0.5, 2] }];
export const batchNormCases: Case[] = [
  ...[
    [4, 3],
    [3, 3, 2],
    [2, 3, 2, 3],
    [2, 3, 2, 1, 2],
  ].flatMap((shape) => [
    { shapes: [shape, [3], [3]], rest: statistics, attributes: { training_mode: 1 }, outputs: 3 },
    { shapes: [shape, [3], [3]], rest: statistics, attributes: { training_mode: 1, momentum: float(0) }, outputs: 3 },
    { shapes: [shape, [3], [3]], rest: statistics, opset: 11 },
    {
      shapes: [shape, [3], [3], [3], [3]],
      transform: (value: number, at: number) => (at === 4 ? positive(value) : value),
    },
  ]),
  {
    shapes: [[5, 3], [3], [3]],
    rest: statistics,
    attributes: { training_mode: 1, epsilon: float(0.1) },
    outputs: 3,
    opset: 14,
  },
].map((item) => ({ op: 'BatchNormalization', ...item }));

// Nothing is dropped here: training mode has random masks (training-mode.test.ts).
export const dropoutCases: Case[] = [
  { op: 'Dropout', shapes: [[2, 5]], attributes: { ratio: float(0.5) }, opset: 11 },
  { op: 'Dropout', shapes: [[2, 5]], rest: [{ float32: 0.5 }, { bool: [0], dims: [] }] },
  { op: 'Dropout', shapes: [[2, 5]], rest: [{ float32: 0 }, { bool: [1], dims: [] }], opset: 12 },
];
