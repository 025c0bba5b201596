// Operators that only move elements: the gradient moves them back. Sizes are taken from shapes when the graph runs, so
// that the batch may differ from run to run.
import { SecateurError } from '../../errors.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import {
  constantOf,
  input,
  intAttribute,
  intsAttribute,
  type Rule,
  type RuleContext,
  type RuleFamily,
  reshapeLike,
  stringAttribute,
  sum,
  zerosLike,
  zerosOf,
} from '../rule.js';
import { padByMap, sliceByMap } from './axis-map.js';

const reshape: Rule = (c) => [reshapeLike(c, c.dY, input(c, 0))];

// Y = X with axes permuted: dX is dY with the inverse permutation.
const transpose: Rule = (c) => {
  const rank = c.facts(input(c, 0)).shape.length;
  const perm = intsAttribute(c.node, 'perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  return [c.emit('Transpose', [c.dY], { perm: perm.map((_, axis) => perm.indexOf(axis)) })];
};

// The pieces put together again, with zeros for those that the loss does not depend on.
const split: Rule = (c) => {
  const pieces = c.outputs.map((value, index) => c.dYs(index) ?? zerosLike(c, value));
  return [c.emit('Concat', pieces, { axis: intAttribute(c.node, 'axis', 0) })];
};

// Each input gets its slice of dY.
const concat: Rule = (c) => {
  const axis = c.graph.int64([intAttribute(c.node, 'axis', 0)]);
  let end = c.graph.int64([0]);
  return c.inputs.map((x, index) => {
    const start = end;
    end = c.emit('Add', [start, c.emit('Gather', [c.emit('Shape', [x]), axis])]);
    return c.needs(index) ? c.emit('Slice', [c.dY, start, end, axis]) : null;
  });
};

// Y = X repeated: as a stack of repetitions [r0, d0, r1, d1, ...], dX sums over the r.
const tile: Rule = (c) => {
  const last = c.graph.int64([-1]);
  const column = c.graph.int64([-1, 1]);
  const columns = [input(c, 1), c.emit('Shape', [input(c, 0)])].map((list) => c.emit('Reshape', [list, column]));
  const interleaved = c.emit('Reshape', [c.emit('Concat', columns, { axis: 1 }), last]);
  const axes = c.facts(input(c, 0)).shape.map((_, axis) => 2 * axis);
  return [sum(c, c.emit('Reshape', [c.dY, interleaved]), axes, false)];
};

// Y = X[start : end : step]. In steps of 1, dX is dY with zeros around; else a product along each axis (1.5 ms for every
// second row and column of [128,16,32,32] on 1 thread), or the flat positions are sliced as X was, and say where dY goes
// (5.9 ms).
const slice: Rule = (c) => {
  const [x, starts, , axes, steps] = c.inputs;
  const whole = !steps || constantOf(c, steps)?.every((step) => step === 1) === true;
  if (whole) return [padded(c, starts ?? '', axes)];
  return [sliceByMap(c) ?? scattered(c, x ?? '')];
};

function padded(c: RuleContext, starts: Value, axes: Value | undefined): Value {
  const shape = c.emit('Shape', [input(c, 0)]);
  const rank = c.facts(input(c, 0)).shape.length;
  const count = c.facts(starts).shape[0] ?? 0;
  const which = axes || c.graph.int64(Array.from({ length: count }, (_, axis) => axis));
  const sizes = c.emit('Gather', [shape, which]);
  const given = c.emit('Cast', [starts], { to: 7 });
  const zero = c.graph.int64(0);
  const choose = (smaller: Value, than: Value, yes: Value, no: Value) =>
    c.emit('Where', [c.emit('Less', [smaller, than]), yes, no]);
  const fromStart = choose(given, zero, c.emit('Add', [given, sizes]), given);
  const notBefore = choose(fromStart, zero, zero, fromStart);
  const begins = choose(sizes, notBefore, sizes, notBefore);
  const before = c.emit('ScatterElements', [c.graph.int64(new Array(rank).fill(0)), which, begins]);
  const after = c.emit('Sub', [c.emit('Sub', [shape, c.emit('Shape', [c.dY])]), before]);
  return c.emit('Pad', [c.dY, c.emit('Concat', [before, after], { axis: 0 })]);
}

function scattered(c: RuleContext, x: Value): Value {
  const flat = c.graph.int64([-1]);
  const shape = c.emit('Shape', [x]);
  const size = c.emit('Size', [x]);
  const all = c.emit('Range', [c.graph.int64(0), size, c.graph.int64(1)]);
  const positions = c.emit('Slice', [c.emit('Reshape', [all, shape]), ...c.inputs.slice(1)]);
  const zeros = zerosOf(c, c.emit('Reshape', [size, flat]), x);
  const [indices, updates] = [positions, c.dY].map((value) => c.emit('Reshape', [value, flat]));
  return c.emit('Reshape', [c.emit('ScatterElements', [zeros, indices ?? '', updates ?? '']), shape]);
}

// dX is dY cropped: Pad with the negative amounts, which takes away where it had added, and adds where it had taken.
const pad: Rule = (c) => {
  const mode = stringAttribute(c.node, 'mode', 'constant');
  if (mode !== 'constant') return [padByMap(c)];
  if (c.needs(2)) {
    throw new SecateurError('UNSUPPORTED', `Expected the value that Pad ${c.node.name} fills in not to be trained`);
  }
  const axes = c.inputs[3] ? [null, c.inputs[3]] : [];
  return [c.emit('Pad', [c.dY, c.emit('Neg', [input(c, 1)]), ...axes])];
};

export const shape: RuleFamily = {
  Reshape: reshape,
  Flatten: reshape,
  Squeeze: reshape,
  Unsqueeze: reshape,
  Transpose: transpose,
  Split: split,
  Concat: concat,
  Slice: slice,
  Pad: pad,
  Tile: tile,
  // Summed back by the walk.
  Expand: (c) => [{ value: c.dY, shape: c.facts(c.outputs[0] ?? '').shape }],
};
