// Convolution of any rank, groups included. Shapes of space are static; the batch may differ from run to run.
import type { Value } from '../../onnx/build/graph-builder.js';
import { input, intAttribute, intsAttribute, type Rule, type RuleContext, type RuleFamily, sum } from '../rule.js';

interface Geometry {
  readonly space: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** All begins, then all ends. */
  readonly pads: readonly number[];
  readonly result: readonly number[];
  readonly group: number;
}

function geometryOf(c: RuleContext): Geometry {
  const space = c.facts(input(c, 0)).shape.slice(2);
  const kernel = c.facts(input(c, 1)).shape.slice(2);
  const result = c.facts(c.outputs[0] ?? '').shape.slice(2);
  const ones = space.map(() => 1);
  const strides = intsAttribute(c.node, 'strides') ?? ones;
  const dilations = intsAttribute(c.node, 'dilations') ?? ones;
  const text = c.node.attribute.find(({ name }) => name === 'auto_pad')?.s;
  const autoPad = text === undefined ? 'NOTSET' : new TextDecoder().decode(text);
  const given = intsAttribute(c.node, 'pads') ?? [...space, ...space].map(() => 0);
  const geometry = { space, kernel, strides, dilations, result, group: intAttribute(c.node, 'group', 1) };
  return { ...geometry, pads: autoPad.startsWith('SAME') ? samePads(geometry, autoPad) : given };
}

/** SAME: as much padding as the output's size needs; the odd one goes to the end (UPPER) or the begin (LOWER). */
function samePads({ space, kernel, strides, dilations, result }: Omit<Geometry, 'pads'>, autoPad: string): number[] {
  const total = space.map((size, i) =>
    Math.max(0, (at(result, i) - 1) * at(strides, i) + span(kernel, dilations, i) - size),
  );
  const less = total.map((pad) => Math.floor(pad / 2));
  const more = total.map((pad) => Math.ceil(pad / 2));
  return autoPad === 'SAME_LOWER' ? [...more, ...less] : [...less, ...more];
}

function at(list: readonly number[], index: number): number {
  return list[index] ?? 0;
}

/** How many pixels a dilated kernel covers. */
function span(kernel: readonly number[], dilations: readonly number[], index: number): number {
  return (at(kernel, index) - 1) * at(dilations, index) + 1;
}

// Y[m] = sum_c X[c] * W[m, c] + B[m], where * slides the kernel:
// dX spreads each dY through the kernel, dW correlates X with dY, dB sums dY over batch and space.
const conv: Rule = (c) => {
  const geometry = geometryOf(c);
  const axes = [0, ...geometry.space.map((_, index) => index + 2)];
  return [
    c.needs(0) ? inputGradient(c, geometry) : null,
    c.needs(1) ? weightGradient(c, geometry) : null,
    c.needs(2) ? sum(c, c.dY, axes, false) : null,
  ];
};

function inputGradient(c: RuleContext, geometry: Geometry): Value {
  const { space, kernel, strides, dilations, pads, result, group } = geometry;
  const full = pads.map((pad, index) => span(kernel, dilations, index % space.length) - 1 - pad);
  if (group === 1 && strides.every((stride) => stride === 1) && full.every((pad) => pad >= 0)) {
    // Faster than ConvTranspose in most shapes (docs/autodiff.md).
    return c.emit('Conv', [c.dY, rotated(c, space.length)], { dilations, pads: full, kernel_shape: kernel });
  }
  // Rows at the end that no window reached.
  const output_padding = space.map((size, i) => {
    const reached = (at(result, i) - 1) * at(strides, i) + span(kernel, dilations, i);
    return size + at(pads, i) + at(pads, i + space.length) - reached;
  });
  const attributes = { strides, dilations, pads, group, output_padding, kernel_shape: kernel };
  return c.emit('ConvTranspose', [c.dY, input(c, 1)], attributes);
}

/** The kernel turned by half a turn, with input and output channels swapped. */
function rotated(c: RuleContext, rank: number): Value {
  const axes = Array.from({ length: rank }, (_, index) => index + 2);
  const ends = axes.map(() => -(2 ** 31));
  const minus = c.graph.int64(axes.map(() => -1));
  const turned = c.emit('Slice', [input(c, 1), minus, c.graph.int64(ends), c.graph.int64(axes), minus]);
  return c.emit('Transpose', [turned], { perm: [1, 0, ...axes] });
}

function weightGradient(c: RuleContext, geometry: Geometry): Value {
  const { space, kernel, strides, dilations, pads, group } = geometry;
  const axes = space.map((_, index) => index + 2);
  const swap = [1, 0, ...axes];
  const images = group === 1 ? c.emit('Transpose', [input(c, 0)], { perm: swap }) : groupedImages(c, geometry);
  const kernels = c.emit('Transpose', [c.dY], { perm: swap });
  // Strides and dilations trade places: dY is the kernel now.
  const all = c.emit('Conv', [images, kernels], { strides: dilations, dilations: strides, pads, group });
  // Input that no window reached gives more offsets than the kernel has.
  const starts = c.graph.int64(kernel.map(() => 0));
  const cut = c.emit('Slice', [all, starts, c.graph.int64(kernel), c.graph.int64(axes)]);
  return c.emit('Transpose', [cut], { perm: swap });
}

/** [N, G C, space] to [C, G N, space]: one channel of every group as a picture, the batch as its channels. */
function groupedImages(c: RuleContext, { space, group }: Geometry): Value {
  const channels = (c.facts(input(c, 0)).shape[1] ?? 0) / group;
  const split = c.emit('Reshape', [input(c, 0), c.graph.int64([-1, group, channels, ...space])]);
  const perm = [2, 1, 0, ...space.map((_, index) => index + 3)];
  const turned = c.emit('Transpose', [split], { perm });
  return c.emit('Reshape', [turned, c.graph.int64([channels, -1, ...space])]);
}

export const convolution: RuleFamily = { Conv: conv };
