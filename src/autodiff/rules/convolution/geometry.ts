// What a convolution's attributes and shapes say, defaults and auto_pad resolved. Shapes of space are static; the batch
// may differ from run to run. No graph is touched here.
import type { Value } from '../../../onnx/build/graph-builder.js';
import { input, intAttribute, intsAttribute, output, type RuleContext, stringAttribute } from '../../rule.js';

/** A convolution from `space` to `result`. Lists have one element an axis of space, but for pads. */
export interface Geometry {
  readonly space: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** All begins, then all ends. */
  readonly pads: readonly number[];
  readonly result: readonly number[];
  readonly group: number;
}

/** The geometry of a Conv node. */
export function convGeometry(c: RuleContext): Geometry {
  return windowGeometry(c, spaceOf(c, input(c, 1)));
}

/** The geometry of a node that slides windows over input 0: a convolution or a pool. */
export function windowGeometry(c: RuleContext, kernel: readonly number[]): Geometry {
  const geometry = unpadded(c, { space: spaceOf(c, input(c, 0)), kernel, result: spaceOf(c, output(c)) });
  const autoPad = stringAttribute(c.node, 'auto_pad', 'NOTSET');
  if (!autoPad.startsWith('SAME')) return { ...geometry, pads: givenPads(c, geometry) };
  return { ...geometry, pads: halved(missing(geometry), autoPad === 'SAME_LOWER' ? 'begin' : 'end') };
}

/** The geometry of the convolution that a ConvTranspose node is the transpose of: from its output to its input. */
export function convTransposeGeometry(c: RuleContext): Geometry {
  const kernel = spaceOf(c, input(c, 1));
  const geometry = unpadded(c, { space: spaceOf(c, output(c)), kernel, result: spaceOf(c, input(c, 0)) });
  const autoPad = stringAttribute(c.node, 'auto_pad', 'NOTSET');
  const sized = intsAttribute(c.node, 'output_shape') !== undefined;
  if (!sized && !autoPad.startsWith('SAME')) return { ...geometry, pads: givenPads(c, geometry) };
  const total = missing(geometry, intsAttribute(c.node, 'output_padding'));
  // Also where only the output's shape is given.
  return { ...geometry, pads: halved(total, autoPad === 'SAME_UPPER' ? 'end' : 'begin') };
}

function spaceOf(c: RuleContext, value: Value): readonly number[] {
  return c.facts(value).shape.slice(2);
}

function unpadded(c: RuleContext, sizes: Pick<Geometry, 'space' | 'kernel' | 'result'>): Omit<Geometry, 'pads'> {
  const ones = sizes.space.map(() => 1);
  const strides = intsAttribute(c.node, 'strides') ?? ones;
  const dilations = intsAttribute(c.node, 'dilations') ?? ones;
  return { ...sizes, strides, dilations, group: intAttribute(c.node, 'group', 1) };
}

function givenPads(c: RuleContext, { space }: Omit<Geometry, 'pads'>): readonly number[] {
  const none = [...space, ...space].map(() => 0);
  return stringAttribute(c.node, 'auto_pad', 'NOTSET') === 'VALID' ? none : (intsAttribute(c.node, 'pads') ?? none);
}

/** How much padding each axis needs for its result and `more` pixels. */
function missing(geometry: Omit<Geometry, 'pads'>, more: readonly number[] = []): number[] {
  return geometry.space.map((size, i) => Math.max(0, reach(geometry, i) + at(more, i) - size));
}

/** Pads from their sums; an odd one has more at the begin or at the end. */
function halved(total: readonly number[], larger: 'begin' | 'end'): number[] {
  const less = total.map((pad) => Math.floor(pad / 2));
  const more = total.map((pad) => Math.ceil(pad / 2));
  return larger === 'begin' ? [...more, ...less] : [...less, ...more];
}

export function at(list: readonly number[], index: number): number {
  return list[index] ?? 0;
}

/** How many pixels a dilated kernel covers along an axis. */
export function span(kernel: readonly number[], dilations: readonly number[], index: number): number {
  return (at(kernel, index) - 1) * at(dilations, index) + 1;
}

/** How many pixels all windows together cover along an axis. */
export function reach({ kernel, strides, dilations, result }: Omit<Geometry, 'pads'>, index: number): number {
  return (at(result, index) - 1) * at(strides, index) + span(kernel, dilations, index);
}

/** The length of an axis with its padding. */
export function paddedLength({ space, pads }: Geometry, index: number): number {
  return at(space, index) + at(pads, index) + at(pads, index + space.length);
}

export function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}
