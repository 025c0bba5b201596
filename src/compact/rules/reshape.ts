// Reshape and Flatten. Axes are matched by their lengths: one to one, several into one (the blocks that Flatten makes of
// channels), or one into several. Of several, one can carry channels; the others stay whole.
import { intAttribute } from '../../onnx/attributes.js';
import { productOf, type Shape } from '../../onnx/infer/shape.js';
import { setInt, setInts } from '../attributes.js';
import {
  type Couplings,
  inputOf,
  type NodeFacts,
  outputOf,
  type Rewriter,
  type RuleChoice,
  type RuleFamily,
} from '../rule.js';
import { lengthOf, type Value } from '../value.js';

/** Axes of the input and of the output that hold the same elements in the same order. */
interface Match {
  from: number[];
  to: number[];
}

/** The finest matching of two shapes; undefined where symbols stand in the way. */
export function matchAxes(from: Shape, to: Shape): Match[] | undefined {
  const matches: Match[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    const [a, b] = [from[i], to[j]];
    if (a !== undefined && a === b) matches.push({ from: [i++], to: [j++] });
    else if (a === 1) matches.push({ from: [i++], to: [] });
    else if (b === 1) matches.push({ from: [], to: [j++] });
    else {
      const match: Match = { from: [i++], to: [j++] };
      if (!extend(match, from, to)) return undefined;
      matches.push(match);
      i += match.from.length - 1;
      j += match.to.length - 1;
    }
  }
  return matches;
}

/** Takes more axes on the smaller side until the products agree. */
function extend(match: Match, from: Shape, to: Shape): boolean {
  for (;;) {
    const a = productOf(match.from.map((axis) => from[axis] ?? ''));
    const b = productOf(match.to.map((axis) => to[axis] ?? ''));
    if (a === undefined || b === undefined) return false;
    if (a === b) return true;
    const [side, shape] = a < b ? [match.from, from] : [match.to, to];
    const next = (side.at(-1) ?? -1) + 1;
    if (next >= shape.length) return false;
    side.push(next);
  }
}

/** Where an axis stands among those it is joined with: index = (outer, own, inner). */
function place(value: Value, axes: readonly number[], axis: number): { length: number; inner: number } {
  const after = axes.slice(axes.indexOf(axis) + 1);
  return {
    length: lengthOf(value, axis),
    inner: after.reduce((product, other) => product * lengthOf(value, other), 1),
  };
}

/** The index along `axis` that a flat index of the joined axes belongs to. */
function indexIn({ length, inner }: { length: number; inner: number }, flat: number): number {
  return Math.floor(flat / inner) % length;
}

/** Joins the blocks of one flat axis with the channels of one of the axes that it holds. */
function joinBlocks(
  net: Couplings,
  [flat, flatAxis]: readonly [Value, number],
  [value, axes]: readonly [Value, readonly number[]],
  label: string,
): void {
  const carrier = axes.find((axis) => !net.isPinned(value, axis));
  for (const axis of axes) if (axis !== carrier) net.pinAxis(value, axis, `joined with others by ${label}`);
  if (carrier === undefined) {
    net.pinAxis(flat, flatAxis, `joined from others by ${label}`);
    return;
  }
  const where = place(value, axes, carrier);
  for (let index = 0; index < lengthOf(flat, flatAxis); index++) {
    net.join([value, carrier, indexIn(where, index)], [flat, flatAxis, index]);
  }
}

function couple(node: NodeFacts, { from, to }: Match, net: Couplings): void {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const [source = 0] = from;
  const [target = 0] = to;
  if (from.length === 1 && to.length === 1) net.joinAxes(x, source, out, target);
  else if (to.length === 1 && from.length > 1) joinBlocks(net, [out, target], [x, from], node.label);
  else if (from.length === 1 && to.length > 1) joinBlocks(net, [x, source], [out, to], node.label);
  else {
    for (const axis of from) net.pinAxis(x, axis, `mixed by ${node.label}`);
    for (const axis of to) net.pinAxis(out, axis, `mixed by ${node.label}`);
  }
}

function coupleAll(node: NodeFacts, matches: readonly Match[], net: Couplings): void {
  for (const match of matches) couple(node, match, net);
}

function handOnConstants(node: NodeFacts, matches: readonly Match[]): void {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  for (const { from, to } of matches) {
    const [target = 0] = to;
    const source = from.find((axis) => x.constants[axis] !== undefined);
    const known = source === undefined ? undefined : x.constants[source];
    if (source === undefined || known === undefined) continue;
    if (to.length === 1) {
      const where = place(x, from, source);
      out.constants[target] = Float64Array.from(
        { length: lengthOf(out, target) },
        (_, flat) => known[indexIn(where, flat)] ?? Number.NaN,
      );
    } else if (from.length === 1 && to.length > 1) {
      out.constants[target] = blockConstants(known, place(out, to, target));
    }
  }
}

/** Blocks all of whose numbers are the same. */
function blockConstants(known: Float64Array, { length, inner }: { length: number; inner: number }): Float64Array {
  return Float64Array.from({ length }, (_, block) => {
    const [first = Number.NaN, ...rest] = known.subarray(block * inner, (block + 1) * inner);
    return rest.every((value) => value === first) ? first : Number.NaN;
  });
}

/** The target of a Reshape in which lengths can be put: 0 copies, -1 is the rest. Undefined where that is not enough. */
function targetOf(node: NodeFacts): (number | 'length')[] | undefined {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const target = (out.shape ?? []).map((dim, axis) => {
    if (typeof dim === 'number') return 'length';
    return x.shape?.[axis] === dim ? 0 : -1;
  });
  return target.filter((dim) => dim === -1).length > 1 || out.shape?.includes(0) ? undefined : target;
}

function rewriteReshape(node: NodeFacts, target: readonly (number | 'length')[], edit: Rewriter): void {
  const out = outputOf(node);
  // What computes the target, be it an Identity, is not read and goes.
  const computed = node.inputs[1] !== undefined && !node.inputs[1].data?.direct;
  if (!computed && target.every((_, axis) => edit.kept(out, axis) === undefined)) return;
  const sizes = target.map((dim, axis) => (dim === 'length' ? edit.countKept(out, axis, 0, lengthOf(out, axis)) : dim));
  if (node.context.opset < 5) setInts(node.proto, 'shape', sizes);
  else edit.setIntegers(node, 1, 'shape', sizes);
  if (intAttribute(node.proto, 'allowzero', 0) !== 0) setInt(node.proto, 'allowzero', 0);
}

const reshape: RuleChoice = (node) => {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const matches = x.shape && out.shape && matchAxes(x.shape, out.shape);
  const target = targetOf(node);
  if (matches === undefined || target === undefined) return undefined;
  return {
    constants: () => handOnConstants(node, matches),
    couple: (_, net) => coupleAll(node, matches, net),
    // The target is written anew, so what computes it is not read.
    demand: (_, marks) => marks.need(x),
    rewrite: (_, edit) => rewriteReshape(node, target, edit),
  };
};

const flatten: RuleChoice = (node) => {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const matches = x.shape && out.shape && matchAxes(x.shape, out.shape);
  if (matches === undefined) return undefined;
  return { constants: () => handOnConstants(node, matches), couple: (_, net) => coupleAll(node, matches, net) };
};

export const reshapes: RuleFamily = { Reshape: reshape, Flatten: flatten };
