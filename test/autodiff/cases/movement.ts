// Operators that move elements, map axes or gather.
import type { Case, Fixed } from '../support.js';

const end = 2 ** 31 - 1;
const empty: Fixed = { float32: [], dims: [0] };

const slices: Case[] = [
  {
    shapes: [[4, 5]],
    integers: [
      [1, 0],
      [3, 4],
    ],
  },
  { shapes: [[4, 5]], integers: [[-3], [end], [-1]] },
  { shapes: [[4, 5]], integers: [[1], [-1], [0]], opset: 11 },
  {
    shapes: [[4, 5]],
    integers: [
      [-100, 1],
      [100, 3],
      [1, -2],
      [1, 1],
    ],
  },
  {
    shapes: [[5, 6]],
    integers: [
      [0, 1],
      [end, end],
      [0, 1],
      [2, 3],
    ],
  },
  {
    shapes: [[5, 6]],
    integers: [
      [-1, 4],
      [-end, 0],
      [0, 1],
      [-1, -2],
    ],
  },
  { shapes: [[2, 5]], integers: [[5], [-end], [1], [-3]], opset: 11 },
].map((item) => ({ op: 'Slice', ...item }));

const pads: Case[] = [
  { shapes: [[2, 3]], integers: [[1, 0, 0, 2]] },
  { shapes: [[2, 3]], integers: [[0, 1, 1, 0]], rest: [{ float32: 3 }], opset: 11 },
  { shapes: [[3, 4]], integers: [[-1, 2, 0, -1]] },
  { shapes: [[2, 3, 4]], integers: [[2, 1, 0, 3]], rest: [null, { int64: [-1, 1] }], opset: 18 },
  ...['reflect', 'edge'].flatMap((mode) => [
    { shapes: [[2, 3, 4]], integers: [[0, 2, 1, 0, 1, 3]], attributes: { mode } },
    { shapes: [[2, 1, 3, 4]], integers: [[0, 0, 2, 0, 0, 0, 1, 0]], attributes: { mode }, opset: 11 },
    {
      shapes: [[2, 3, 3, 2]],
      integers: [[1, 1, 2, 0]],
      rest: [null, { int64: [1, -2] }],
      attributes: { mode },
      opset: 18,
    },
  ]),
  { shapes: [[2, 1, 3]], integers: [[0, 0, 2, 0, 0, 1]], attributes: { mode: 'wrap' }, opset: 19 },
].map((item) => ({ op: 'Pad', ...item }));

const coordinates = ['half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel'];
const scales = [
  [1, 1, 2, 3],
  [1, 1, 1.5, 0.7],
];
const resizes: Case[] = [
  ...coordinates.flatMap((coordinate_transformation_mode) =>
    ['nearest', 'linear', 'cubic'].flatMap((mode) =>
      scales.map((list) => ({
        shapes: [[2, 2, 4, 5]],
        rest: [null, { float32: list }],
        attributes: { mode, coordinate_transformation_mode },
      })),
    ),
  ),
  ...['floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'].map((nearest_mode) => ({
    shapes: [[2, 1, 3, 4]],
    rest: [null, null, { int64: [2, 1, 5, 7] }],
    attributes: { nearest_mode, coordinate_transformation_mode: 'asymmetric' },
  })),
  { shapes: [[2, 1, 2, 3]], rest: [empty, { float32: [1, 1, 2, 2] }], opset: 11 },
  { shapes: [[2, 1, 2, 3]], rest: [empty, empty, { int64: [2, 1, 4, 5] }], attributes: { mode: 'linear' }, opset: 11 },
  { shapes: [[2, 1, 4, 4]], rest: [null, { float32: [1, 1, 1.1, 1.2] }], attributes: { mode: 'linear' } },
  { shapes: [[2, 2, 4]], rest: [null, { float32: [1, 1, 2] }] },
  { shapes: [[2, 1, 2, 3, 2]], rest: [null, { float32: [1, 1, 2, 1, 2] }] },
  { shapes: [[2, 1, 2, 3, 2]], rest: [null, null, { int64: [2, 1, 3, 4, 3] }], attributes: { mode: 'linear' } },
  {
    shapes: [[2, 1, 3, 4]],
    rest: [null, null, { int64: [7, 5] }],
    attributes: { mode: 'linear', axes: [-1, 2] },
    opset: 18,
  },
  {
    shapes: [[2, 1, 6, 5]],
    rest: [null, { float32: [1, 1, 0.5, 0.6] }],
    attributes: { mode: 'linear', antialias: 1 },
    opset: 18,
  },
].map((item) => ({ op: 'Resize', ...item }));

const indices = (values: readonly number[], dims: readonly number[]): Fixed[] => [{ int64: values, dims }];
const gathers: Case[] = [
  { op: 'Gather', shapes: [[4, 3]], rest: indices([0, 2, -1, 2], [4]) },
  { op: 'Gather', shapes: [[4, 3]], rest: indices([1, 1, 0, -3], [2, 2]), attributes: { axis: 1 }, opset: 16 },
  { op: 'Gather', shapes: [[2, 4, 3]], rest: [{ int64: -2 }], attributes: { axis: 1 } },
  { op: 'Gather', shapes: [[2, 3, 2]], rest: indices([0, 0], [1, 2]), attributes: { axis: -1 } },
  { op: 'GatherElements', shapes: [[3, 3]], rest: indices([0, 0, -1, 2, 1, 1], [2, 3]) },
  { op: 'GatherElements', shapes: [[2, 3]], rest: indices([2, 2, 0, -3], [2, 2]), attributes: { axis: -1 }, opset: 16 },
  { op: 'GatherND', shapes: [[2, 3, 2]], rest: indices([0, 1, 1, -1, 0, 1], [3, 2]) },
  { op: 'GatherND', shapes: [[3, 2]], rest: indices([0, -1, 0, 0], [2, 2, 1]) },
  { op: 'GatherND', shapes: [[2, 3, 2]], rest: indices([1, 1, -1, 0], [2, 2, 1]), attributes: { batch_dims: 1 } },
  { op: 'GatherND', shapes: [[2, 2, 3]], rest: indices([0, 2, 2, 1], [2, 2, 1]), attributes: { batch_dims: 2 } },
  {
    op: 'GatherND',
    shapes: [[2, 3, 2, 2]],
    rest: indices([1, 0, 1, 0, -1, 1], [2, 1, 3]).map((item) => item),
    attributes: { batch_dims: 1 },
  },
];

export const movementCases: Case[] = [
  {
    op: 'Concat',
    shapes: [
      [2, 3],
      [2, 1],
      [2, 2],
    ],
    attributes: { axis: -1 },
  },
  {
    op: 'Concat',
    shapes: [
      [1, 3],
      [2, 3],
    ],
    attributes: { axis: 0 },
    opset: 11,
  },
  { op: 'Concat', shapes: [[2, 3]], rest: [{ float32: [1, 2], dims: [2, 1] }], attributes: { axis: 1 }, order: [1, 0] },
  { op: 'Split', shapes: [[2, 5]], integers: [[2, 3]], attributes: { axis: -1 }, outputs: 2, used: [0, 1] },
  { op: 'Split', shapes: [[6]], outputs: 3, used: [2, 0], attributes: { split: [1, 2, 3] }, opset: 11 },
  { op: 'Split', shapes: [[6]], outputs: 3, used: [1], opset: 13 },
  { op: 'Split', shapes: [[2, 5]], outputs: 3, used: [1], attributes: { axis: 1, num_outputs: 3 }, opset: 18 },
  { op: 'Tile', shapes: [[2, 3]], integers: [[2, 3]] },
  { op: 'Tile', shapes: [[2, 1, 2]], integers: [[1, 3, 1]], opset: 11 },
  { op: 'Reshape', shapes: [[2, 6]], integers: [[3, 4]] },
  { op: 'Reshape', shapes: [[2, 6]], integers: [[0, -1, 2]], opset: 11 },
  { op: 'Flatten', shapes: [[2, 3, 2]], attributes: { axis: 2 } },
  { op: 'Squeeze', shapes: [[2, 1, 3]], integers: [[1]] },
  { op: 'Squeeze', shapes: [[2, 1, 3, 1]], attributes: { axes: [-1, 1] }, opset: 11 },
  { op: 'Squeeze', shapes: [[2, 1, 3, 1]], opset: 21 },
  { op: 'Unsqueeze', shapes: [[2, 3]], attributes: { axes: [0, 2] }, opset: 11 },
  { op: 'Unsqueeze', shapes: [[2, 3]], integers: [[-1]] },
  { op: 'Transpose', shapes: [[2, 3, 4]], attributes: { perm: [2, 0, 1] } },
  { op: 'Transpose', shapes: [[2, 3, 4]] },
  { op: 'Expand', shapes: [[2, 1]], integers: [[3, 2, 4]] },
  { op: 'Expand', shapes: [[2, 1, 3]], integers: [[1, 4, 1]], opset: 11 },
  ...slices,
  ...pads,
  ...resizes,
  ...gathers,
];
