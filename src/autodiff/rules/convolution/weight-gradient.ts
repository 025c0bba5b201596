// The gradient of a convolution's weights: patches of the input times dY. Copying patches costs more than multiplying
// them, so the copies are shared: those for the offsets along the kernel's last axis are made once and stacked as rows
// of one matrix; the other offsets only cut runs of whole lines out of them (docs/performance.md has the alternatives).
import type { Value } from '../../../onnx/build/graph-builder.js';
import { input, type RuleContext, sum } from '../../rule.js';
import { at, type Geometry, paddedLength, product } from './geometry.js';

// dW[m, c, k] = sum over n and p of X[n, c, s p + d k] dY[n, m, p]. With groups, channels are [G, C / G] on the way.
/** @param images what the kernel slides over, [N, C, space]; `dY` is [N, M, result], the weights [M, C / group, kernel]. */
export function weightGradient(c: RuleContext, geometry: Geometry, { images, dY: given }: Slid): Value {
  const { kernel, result, group } = geometry;
  const [outputs = 0, channels = 0] = c.facts(input(c, 1)).shape;
  const groups = group === 1 ? [] : [group];
  const own = separateAxes(geometry, channels);
  const stacked = product(kernel.slice(own));
  const rows = stacked * channels;
  const matrix = (value: Value, height: number) =>
    c.emit('Reshape', [value, c.graph.int64([-1, ...groups, height, product(result)])]);
  const dY = matrix(given, outputs / group);
  const copies = stackedCopies(c, geometry, { images, channels, own });
  const parts = offsets(kernel.slice(0, own)).map((offset) => {
    const patches = matrix(
      window(
        c,
        copies,
        geometry,
        offset.map((at, axis) => ({ at, axis })),
      ),
      rows,
    );
    return sum(c, c.emitContrib('FusedMatMul', [patches, dY], { transB: 1 }), [0], false);
  });
  // [own offsets, G, stacked offsets, C / G, M / G] to [G, M / G, C / G, own offsets, stacked offsets].
  const all = parts.length === 1 ? (parts[0] ?? '') : c.emit('Concat', parts, { axis: 0 });
  const apart = c.emit('Reshape', [all, c.graph.int64([parts.length, group, stacked, channels, outputs / group])]);
  const turned = c.emit('Transpose', [apart], { perm: [1, 4, 3, 0, 2] });
  return c.emit('Reshape', [turned, c.graph.int64([outputs, channels, ...kernel])]);
}

interface Slid {
  readonly images: Value;
  readonly dY: Value;
}

// A product of fewer rows than this is slow for its size.
const enoughRows = 32;

/** How many of the kernel's first axes get a product for each offset; the rest is stacked as rows of one. */
function separateAxes({ kernel, group }: Geometry, channels: number): number {
  // Depthwise there is nothing to multiply: what counts is to copy once.
  if (group > 1 && channels === 1) return kernel.length;
  let own = kernel.length - 1;
  while (own > 0 && product(kernel.slice(own)) * channels < enoughRows) own--;
  return own;
}

/** X padded, once for each offset along the kernel's axes from `own` on: [N, (G,) offsets C / G, ...]. */
function stackedCopies(
  c: RuleContext,
  geometry: Geometry,
  { images, channels, own }: { images: Value; channels: number; own: number },
): Value {
  const { space, kernel, pads, group } = geometry;
  const x = group === 1 ? images : c.emit('Reshape', [images, c.graph.int64([-1, group, channels, ...space])]);
  const outer = group === 1 ? [0, 0] : [0, 0, 0];
  const [begins, ends] = [pads.slice(0, space.length), pads.slice(space.length)];
  const padded = pads.some((pad) => pad !== 0)
    ? c.emit('Pad', [x, c.graph.int64([...outer, ...begins, ...outer, ...ends])])
    : x;
  const axes = kernel.flatMap((_, axis) => (axis >= own ? [axis] : []));
  return axes.reduceRight((value, axis) => {
    const copies = Array.from({ length: at(kernel, axis) }, (_, at) => window(c, value, geometry, [{ at, axis }]));
    return copies.length === 1 ? (copies[0] ?? '') : c.emit('Concat', copies, { axis: outer.length - 1 });
  }, padded);
}

/** An offset in the kernel along an axis of space. */
interface Place {
  readonly at: number;
  readonly axis: number;
}

/** The pixels of padded X that kernel elements at some places meet, along the axes of these places. */
function window(c: RuleContext, value: Value, geometry: Geometry, places: readonly Place[]): Value {
  const { strides, dilations, result, group } = geometry;
  const cuts = places.map(({ at: offset, axis }) => {
    const start = offset * at(dilations, axis);
    const step = at(strides, axis);
    const length = paddedLength(geometry, axis);
    return { axis: axis + (group === 1 ? 2 : 3), start, end: start + (at(result, axis) - 1) * step + 1, step, length };
  });
  const partial = cuts.filter(({ start, end, step, length }) => start > 0 || end < length || step > 1);
  if (partial.length === 0) return value;
  const list = (key: 'start' | 'end' | 'axis' | 'step') => c.graph.int64(partial.map((cut) => cut[key]));
  return c.emit('Slice', [value, list('start'), list('end'), list('axis'), list('step')]);
}

/** All index vectors below some bounds, the last index running fastest. */
function offsets(bounds: readonly number[]): number[][] {
  return bounds.reduce<number[][]>(
    (prefixes, bound) => prefixes.flatMap((prefix) => Array.from({ length: bound }, (_, index) => [...prefix, index])),
    [[]],
  );
}
