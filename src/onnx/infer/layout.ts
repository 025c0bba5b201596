// Shapes of operators that move elements without computing with them.
import { intAttribute, intsAttribute, stringAttribute } from '../attributes.js';
import { hasInput, type InferContext, type InferFamily, integers } from './rule.js';
import { type Dim, frontAxis, productOf, type Shape } from './shape.js';

/**
 * The shape that Reshape gives, with 0 (the input's length) and -1 (the rest) resolved. The rest of symbols is resolved
 * where the same symbols stand on both sides.
 */
export function reshaped(from: Shape | undefined, target: Shape, allowZero: boolean, fresh: () => Dim): Shape {
  const copied = target.map((dim, axis) => (dim === 0 && !allowZero ? (from?.[axis] ?? fresh()) : dim));
  if (!copied.includes(-1)) return copied;
  return copied.map((dim) => (dim === -1 ? (restOf(from, copied) ?? fresh()) : dim));
}

/** What -1 stands for: the quotient of the known lengths, or the one symbol that is left. */
function restOf(from: Shape | undefined, target: Shape): Dim | undefined {
  const left =
    from &&
    without(
      from,
      target.filter((dim) => typeof dim === 'string'),
    );
  if (left === undefined) return undefined;
  const known = productOf(target.filter((dim) => typeof dim === 'number' && dim !== -1)) ?? 1;
  const symbols = left.filter((dim) => typeof dim === 'string');
  const total = productOf(left.filter((dim) => typeof dim === 'number')) ?? 1;
  if (symbols.length === 0) return known === 0 ? undefined : total / known;
  return symbols.length === 1 && total === known ? symbols[0] : undefined;
}

/** Lengths without some symbols, each once; undefined where one is not there. */
function without(dims: Shape, symbols: Shape): Dim[] | undefined {
  const left = [...dims];
  for (const symbol of symbols) {
    const at = left.indexOf(symbol);
    if (at < 0) return undefined;
    left.splice(at, 1);
  }
  return left;
}

/** One axis of a Slice: the first index, the step, and how many. Undefined where that is not known. */
export function sliceRange(length: number, start: number, end: number, step: number): { first: number; count: number } {
  const low = step > 0 ? 0 : -1;
  const high = step > 0 ? length : length - 1;
  const clamp = (index: number): number => Math.min(Math.max(index < 0 ? index + length : index, low), high);
  const first = clamp(start);
  const count = Math.max(0, Math.ceil((clamp(end) - first) / step));
  return { first, count };
}

/** The axes that a Slice cuts, with what it cuts. */
export function slicesOf(c: InferContext): { axis: number; start: number; end: number; step: number }[] | undefined {
  const rank = c.shape(0)?.length ?? 0;
  const starts = integers(c, 'starts', 1);
  const ends = integers(c, 'ends', 2);
  if (starts === undefined || ends === undefined) return undefined;
  const given = integers(c, 'axes', 3);
  const steps = integers(c, 'steps', 4);
  if ((given === undefined && hasInput(c, 3)) || (steps === undefined && hasInput(c, 4))) return undefined;
  const axes = given ?? starts.map((_, index) => index);
  return axes.map((axis, index) => ({
    axis: frontAxis(axis, rank),
    start: starts[index] ?? 0,
    end: ends[index] ?? 0,
    step: steps?.[index] ?? 1,
  }));
}

/** How much a Pad adds on each axis. */
export interface Pads {
  begins: number[];
  ends: number[];
}

export function padsOf(c: InferContext): Pads | undefined {
  const rank = c.shape(0)?.length;
  const pads = integers(c, c.opset < 2 ? 'paddings' : 'pads', 1);
  const axes = hasInput(c, 3) ? integers(c, 'axes', 3) : Array.from({ length: rank ?? 0 }, (_, axis) => axis);
  if (rank === undefined || pads === undefined || axes === undefined) return undefined;
  const begins = new Array<number>(rank).fill(0);
  const ends = new Array<number>(rank).fill(0);
  for (const [index, axis] of axes.entries()) {
    begins[frontAxis(axis, rank)] = pads[index] ?? 0;
    ends[frontAxis(axis, rank)] = pads[index + axes.length] ?? 0;
  }
  return { begins, ends };
}

/** The lengths of a Split's outputs. */
export function splitSizes(c: InferContext): number[] | undefined {
  const x = c.shape(0);
  const given = integers(c, 'split', 1);
  if (given !== undefined) return given;
  const length = x?.[frontAxis(intAttribute(c.node, 'axis', 0), x.length)];
  if (hasInput(c, 1) || typeof length !== 'number') return undefined;
  const size = Math.ceil(length / c.node.output.length);
  return c.node.output.map((_, index) => Math.max(0, Math.min(size, length - index * size)));
}

/** The axes of Squeeze, Unsqueeze and reductions; counted from the front of `rank` axes. */
export function axesOf(c: InferContext, rank: number): number[] | undefined {
  return integers(c, 'axes', 1)?.map((axis) => frontAxis(axis, rank));
}

export function unsqueezed<T>(items: readonly T[], axes: readonly number[], one: T): T[] {
  const result = [...items];
  for (const axis of axes.toSorted((a, b) => a - b)) result.splice(axis, 0, one);
  return result;
}

/** The axes that Squeeze removes. */
export function squeezedAxes(c: InferContext): number[] | undefined {
  const x = c.shape(0);
  if (x === undefined) return undefined;
  const given = axesOf(c, x.length);
  if (given !== undefined || hasInput(c, 1)) return given;
  return x.some((dim) => typeof dim === 'string') ? undefined : x.flatMap((dim, axis) => (dim === 1 ? [axis] : []));
}

/** The output of a Resize or Upsample, from its sizes or scales. */
function resized(c: InferContext): readonly (Shape | undefined)[] {
  const x = c.shape(0);
  if (x === undefined) return [];
  const axes = intsAttribute(c.node, 'axes')?.map((axis) => frontAxis(axis, x.length)) ?? x.map((_, axis) => axis);
  const policy = stringAttribute(c.node, 'keep_aspect_ratio_policy', 'stretch');
  const old = c.opset < 11;
  const sizes = old ? undefined : c.contents(3);
  const scales = c.floats(old ? 1 : 2) ?? c.node.attribute.find(({ name }) => name === 'scales')?.floats;
  const result = [...x];
  for (const [index, axis] of axes.entries()) {
    const size = policy === 'stretch' ? sizes?.[index] : undefined;
    result[axis] = size ?? scaled(x[axis] ?? 1, scales?.[index]) ?? c.symbols.fresh();
  }
  return [result];
}

function scaled(length: Dim, scale: number | undefined): Dim | undefined {
  if (scale === 1) return length;
  return scale !== undefined && typeof length === 'number' ? Math.floor(length * scale) : undefined;
}

function concat(c: InferContext): readonly (Shape | undefined)[] {
  const shapes = c.node.input.map((_, index) => c.shape(index));
  const known = shapes.filter((shape) => shape !== undefined);
  const first = known[0];
  if (first === undefined || known.length < shapes.length) return [];
  const axis = frontAxis(intAttribute(c.node, 'axis', 1), first.length);
  let total = 0;
  for (const shape of known) {
    const dim = shape[axis];
    if (typeof dim !== 'number') return [first.map((other, at) => (at === axis ? c.symbols.fresh() : other))];
    total += dim;
  }
  return [first.map((dim, at) => (at === axis ? total : (known.map((shape) => shape[at]).find(isNumber) ?? dim)))];
}

function isNumber(dim: Dim | undefined): dim is number {
  return typeof dim === 'number';
}

export const layout: InferFamily = {
  Concat: concat,
  Resize: resized,
  Upsample: resized,
  Transpose: (c) => {
    const x = c.shape(0);
    const order = intsAttribute(c.node, 'perm') ?? x?.map((_, axis) => axis).reverse();
    return [x && order?.map((axis) => x[axis] ?? 1)];
  },
  Reshape: (c) => {
    const target = intsAttribute(c.node, 'shape') ?? c.contents(1);
    if (target === undefined) return [];
    return [reshaped(c.shape(0), target, intAttribute(c.node, 'allowzero', 0) === 1, () => c.symbols.fresh())];
  },
  Flatten: (c) => {
    const x = c.shape(0);
    if (x === undefined) return [];
    const axis = frontAxis(intAttribute(c.node, 'axis', 1), x.length);
    const joined = (dims: Shape): Dim => (dims.length === 1 ? dims[0] : productOf(dims)) ?? c.symbols.fresh();
    return [[joined(x.slice(0, axis)), joined(x.slice(axis))]];
  },
  Squeeze: (c) => {
    const axes = squeezedAxes(c);
    return [axes && c.shape(0)?.filter((_, axis) => !axes.includes(axis))];
  },
  Unsqueeze: (c) => {
    const x = c.shape(0);
    const count = integers(c, 'axes', 1)?.length;
    if (x === undefined || count === undefined) return [];
    return [unsqueezed<Dim>(x, axesOf(c, x.length + count) ?? [], 1)];
  },
  Slice: (c) => {
    const x = c.shape(0);
    const slices = slicesOf(c);
    if (x === undefined) return [];
    const result = [...x];
    for (const [axis, dim] of x.entries()) {
      const slice = slices?.find((candidate) => candidate.axis === axis);
      if (slices !== undefined && slice === undefined) continue;
      const known = slice !== undefined && typeof dim === 'number';
      result[axis] = known ? sliceRange(dim, slice.start, slice.end, slice.step).count : c.symbols.fresh();
    }
    return [result];
  },
  Split: (c) => {
    const x = c.shape(0);
    const sizes = splitSizes(c);
    if (x === undefined) return [];
    const axis = frontAxis(intAttribute(c.node, 'axis', 0), x.length);
    return c.node.output.map((_, index) =>
      x.map((dim, at) => (at === axis ? (sizes?.[index] ?? c.symbols.fresh()) : dim)),
    );
  },
  Pad: (c) => {
    const x = c.shape(0);
    const pads = padsOf(c);
    return [
      x?.map((dim, axis) => {
        const added = pads && (pads.begins[axis] ?? 0) + (pads.ends[axis] ?? 0);
        if (added === 0) return dim;
        return added === undefined || typeof dim === 'string' ? c.symbols.fresh() : dim + added;
      }),
    ];
  },
  Expand: (c) => {
    const [x, target] = [c.shape(0), c.contents(1)];
    if (x === undefined || target === undefined) return [];
    const rank = Math.max(x.length, target.length);
    const at = (dims: Shape, axis: number): Dim => dims[axis - rank + dims.length] ?? 1;
    return [Array.from({ length: rank }, (_, axis) => (at(target, axis) === 1 ? at(x, axis) : at(target, axis)))];
  },
  DepthToSpace: (c) => [blocks(c, c.shape(0), false)],
  SpaceToDepth: (c) => [blocks(c, c.shape(0), true)],
};

/** Blocks of pixels to channels and back. */
function blocks(c: InferContext, x: Shape | undefined, deeper: boolean): Shape | undefined {
  const size = intAttribute(c.node, 'blocksize', 1);
  const scale = (dim: Dim | undefined, factor: number): Dim => (isNumber(dim) ? dim * factor : c.symbols.fresh());
  const [depth, space] = deeper ? [size * size, 1 / size] : [1 / (size * size), size];
  return x && [x[0] ?? 1, scale(x[1], depth), scale(x[2], space), scale(x[3], space)];
}
