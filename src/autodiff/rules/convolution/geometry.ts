// What a convolution's attributes and shapes say, defaults and auto_pad resolved. Shapes of space are static; the batch
// may differ from run to run. No graph is touched here.
import { input, intAttribute, intsAttribute, output, type RuleContext, stringAttribute } from '../../rule.js';

/** Lists have one element an axis of space, but for pads. */
export interface Geometry {
  /** Of the convolution's input. */
  readonly space: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** All begins, then all ends. */
  readonly pads: readonly number[];
  /** Space of the convolution's output. */
  readonly result: readonly number[];
  readonly group: number;
}

/** The geometry of a Conv node. */
export function convGeometry(c: RuleContext): Geometry {
  return windowGeometry(c, c.facts(input(c, 1)).shape.slice(2));
}

/** The geometry of a node that slides windows over input 0: a convolution or a pool. */
export function windowGeometry(c: RuleContext, kernel: readonly number[]): Geometry {
  const space = c.facts(input(c, 0)).shape.slice(2);
  const result = c.facts(output(c)).shape.slice(2);
  const ones = space.map(() => 1);
  const strides = intsAttribute(c.node, 'strides') ?? ones;
  const dilations = intsAttribute(c.node, 'dilations') ?? ones;
  const autoPad = stringAttribute(c.node, 'auto_pad', 'NOTSET');
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

export function at(list: readonly number[], index: number): number {
  return list[index] ?? 0;
}

/** How many pixels a dilated kernel covers along an axis. */
export function span(kernel: readonly number[], dilations: readonly number[], index: number): number {
  return (at(kernel, index) - 1) * at(dilations, index) + 1;
}

export function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}
