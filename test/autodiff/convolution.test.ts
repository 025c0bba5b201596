// Conv and ConvTranspose of all ranks against central differences. The rules choose among formulations by shape; the
// titles say which one a shape is for.
import { expect, test } from 'vitest';
import type { Attributes } from '../../src/onnx/build/attributes.js';
import { worstError } from './support.js';

type Shape = readonly number[];
type Row = [title: string, x: Shape, weights: Shape, attributes?: Attributes, opset?: number];

const conv: Row[] = [
  ['1-D', [2, 2, 5], [3, 2, 3], { pads: [1, 0] }],
  ['1-D, stride and dilation', [2, 3, 11], [2, 3, 3], { strides: [3], dilations: [2], pads: [2, 1] }],
  ['1-D, enough rows for a product of its own', [2, 16, 6], [3, 16, 3], { pads: [1, 1] }],
  ['2-D, uneven pads', [2, 2, 4, 5], [3, 2, 3, 2], { pads: [1, 0, 1, 1] }],
  ['2-D, stride 2', [2, 2, 6, 5], [2, 2, 3, 3], { strides: [2, 2], pads: [1, 1, 1, 1] }],
  ['2-D, input beyond the last window', [2, 1, 7, 8], [2, 1, 3, 3], { strides: [3, 4] }],
  ['2-D, dilated', [2, 2, 6, 6], [2, 2, 2, 2], { dilations: [2, 3], pads: [0, 1, 2, 0] }],
  ['2-D, dilated with strides', [2, 2, 7, 7], [2, 2, 2, 2], { dilations: [2, 1], strides: [2, 3] }],
  ['2-D, strides beyond the kernel', [2, 2, 7, 7], [2, 2, 2, 1], { strides: [3, 2] }],
  ['2-D, padded more than the kernel', [2, 2, 3, 3], [2, 2, 1, 1], { pads: [1, 1, 1, 1] }],
  ['2-D, 1 x 1', [2, 3, 4, 3], [5, 3, 1, 1]],
  ['2-D, 1 x 1 with stride', [2, 3, 5, 4], [2, 3, 1, 1], { strides: [2, 2] }],
  ['2-D, same size: dX by the turned kernel', [2, 3, 5, 5], [4, 3, 3, 3], { pads: [1, 1, 1, 1] }],
  ['2-D, much smaller: dX by ConvTranspose', [2, 2, 6, 6], [3, 2, 5, 5]],
  ['2-D, one product a row of the kernel', [2, 16, 4, 4], [3, 16, 3, 3], { pads: [1, 1, 1, 1] }],
  ['2-D, one product a row, strides', [2, 16, 5, 6], [2, 16, 2, 3], { strides: [2, 2], pads: [1, 0, 0, 1] }],
  ['groups', [2, 4, 4, 4], [6, 2, 3, 3], { group: 2, pads: [1, 1, 1, 1] }],
  ['groups of many channels', [2, 32, 3, 4], [4, 16, 2, 3], { group: 2, pads: [1, 1, 1, 1] }],
  ['depthwise', [2, 3, 5, 5], [3, 1, 3, 3], { group: 3, pads: [1, 1, 1, 1] }],
  ['depthwise, stride 2', [2, 3, 6, 5], [3, 1, 3, 3], { group: 3, strides: [2, 2], pads: [1, 1, 1, 1] }],
  ['depthwise, two outputs a channel', [2, 3, 5, 5], [6, 1, 3, 2], { group: 3, dilations: [1, 2] }],
  ['SAME_UPPER', [2, 2, 5, 4], [2, 2, 2, 3], { auto_pad: 'SAME_UPPER', strides: [2, 1] }],
  ['SAME_LOWER', [2, 2, 5, 4], [2, 2, 2, 3], { auto_pad: 'SAME_LOWER' }],
  ['VALID', [2, 2, 5, 4], [2, 2, 2, 3], { auto_pad: 'VALID' }, 11],
  ['3-D', [2, 1, 3, 4, 3], [2, 1, 2, 2, 2], { pads: [0, 1, 0, 1, 0, 1] }],
  ['3-D, groups and strides', [2, 4, 3, 4, 3], [2, 2, 2, 2, 2], { group: 2, strides: [1, 2, 1] }],
  ['3-D, products for two axes', [2, 32, 3, 2, 2], [1, 32, 2, 2, 1]],
];

const transpose: Row[] = [
  ['1-D', [2, 2, 4], [2, 3, 3], { strides: [2], pads: [1, 0] }],
  ['2-D', [2, 2, 3, 4], [2, 3, 3, 2]],
  ['2-D, strides and pads', [2, 2, 3, 4], [2, 3, 3, 3], { strides: [2, 3], pads: [1, 0, 2, 1] }],
  ['2-D, dilated', [2, 2, 3, 3], [2, 2, 2, 2], { dilations: [2, 3], strides: [2, 1] }],
  ['2-D, strides beyond the kernel', [2, 2, 3, 3], [2, 2, 2, 1], { strides: [3, 2] }],
  ['output_padding', [2, 2, 3, 3], [2, 2, 3, 3], { strides: [2, 3], output_padding: [1, 2], pads: [1, 1, 1, 1] }],
  ['output_shape', [2, 2, 3, 3], [2, 2, 3, 3], { strides: [2, 2], output_shape: [6, 5] }],
  [
    'output_shape, SAME_UPPER',
    [2, 2, 3, 3],
    [2, 2, 4, 3],
    { auto_pad: 'SAME_UPPER', strides: [2, 2], output_shape: [7, 6] },
  ],
  [
    'output_shape with output_padding',
    [2, 2, 3, 3],
    [2, 2, 3, 3],
    { strides: [2, 2], output_padding: [1, 1], output_shape: [7, 6] },
  ],
  ['output_shape beyond what is reached', [2, 2, 2, 3], [2, 2, 2, 2], { strides: [2, 2], output_shape: [5, 7] }],
  ['SAME_UPPER', [2, 2, 3, 3], [2, 2, 3, 4], { auto_pad: 'SAME_UPPER', strides: [2, 2] }],
  ['SAME_LOWER', [2, 2, 3, 3], [2, 2, 3, 4], { auto_pad: 'SAME_LOWER', strides: [2, 2] }],
  ['VALID', [2, 2, 3, 3], [2, 2, 3, 2], { auto_pad: 'VALID', strides: [2, 1] }, 11],
  ['groups', [2, 4, 3, 3], [4, 3, 2, 2], { group: 2, strides: [2, 1] }],
  ['depthwise', [2, 3, 3, 3], [3, 1, 3, 3], { group: 3, strides: [2, 2], output_padding: [1, 1], pads: [1, 1, 1, 1] }],
  ['3-D', [2, 2, 2, 2, 3], [2, 1, 2, 3, 2], { strides: [1, 2, 1], pads: [0, 1, 0, 0, 1, 1] }],
];

function outputsOf(op: string, weights: Shape, { group = 1 }: Attributes): number {
  return op === 'Conv' ? (weights[0] ?? 0) : (weights[1] ?? 0) * Number(group);
}

const cases: [op: string, ...Row][] = [
  ...conv.map((row): [string, ...Row] => ['Conv', ...row]),
  ...transpose.map((row): [string, ...Row] => ['ConvTranspose', ...row]),
];

test.each(cases)('%s: %s', async (...row) => {
  const [op, , x, weights, attributes = {}, opset = 17] = row;
  const shapes = [x, weights, [outputsOf(op, weights, attributes)]];
  expect(await worstError({ op, shapes, attributes, opset })).toBeLessThan(2e-3);
});

test.each(['Conv', 'ConvTranspose'])('%s without bias', async (op) => {
  const shapes = [
    [2, 2, 4, 4],
    [2, 2, 3, 3],
  ];
  expect(await worstError({ op, shapes })).toBeLessThan(2e-3);
});

// The rule does not crop dY for it.
test.each([
  { strides: [2], output_shape: [10] },
  { dilations: [2], output_padding: [1] },
])('ConvTranspose with room for one more window is refused by the runtime: %j', async (attributes) => {
  const shapes = [
    [2, 1, 3],
    [1, 2, 2],
  ];
  await expect(worstError({ op: 'ConvTranspose', shapes, attributes })).rejects.toThrow(
    'inconsistent with input spatial dimensions',
  );
});
