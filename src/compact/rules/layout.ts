// Operators that move channels without computing: Concat, Split, Slice, Transpose, Squeeze, Unsqueeze. Where they count
// channels, the counts are rewritten. (pad.ts and reshape.ts have the others.)
import { intAttribute, intsAttribute } from '../../onnx/attributes.js';
import { axesOf, sliceRange, slicesOf, splitSizes, squeezedAxes } from '../../onnx/infer/layout.js';
import { frontAxis } from '../../onnx/infer/shape.js';
import { setInts } from '../attributes.js';
import {
  type Couplings,
  inputOf,
  type NodeFacts,
  outputOf,
  type Rewriter,
  type Rule,
  type RuleChoice,
  type RuleFamily,
} from '../rule.js';
import { constantsOf, lengthOf, type Value } from '../value.js';
import { joinRange } from './broadcast.js';
import { inputsOf } from './opaque.js';

const MAX_END = 2 ** 31 - 1;

/** An axis attribute, counted from the front of input 0. */
function axisOf(node: NodeFacts, otherwise: number): number {
  return frontAxis(intAttribute(node.proto, 'axis', otherwise), inputOf(node, 0).shape?.length ?? 0);
}

function joinOthers(net: Couplings, a: Value, b: Value, skip: number): void {
  for (const axis of a.shape?.keys() ?? []) if (axis !== skip) net.joinAxes(a, axis, b, axis);
}

const concat: RuleChoice = (node) => {
  const axis = axisOf(node, 1);
  const offsets: number[] = [];
  let total = 0;
  for (const input of inputsOf(node)) {
    if (typeof input.shape?.[axis] !== 'number') return undefined;
    offsets.push(total);
    total += lengthOf(input, axis);
  }
  return {
    constants() {
      const parts = inputsOf(node).map((input) => constantsOf(input, axis) ?? unknownNumbers(lengthOf(input, axis)));
      outputOf(node).constants[axis] = Float64Array.from(parts.flatMap((part) => [...part]));
    },
    couple(_, net) {
      for (const [index, input] of inputsOf(node).entries()) {
        joinOthers(net, input, outputOf(node), axis);
        joinRange(net, [input, axis, 0], [outputOf(node), axis, offsets[index] ?? 0], lengthOf(input, axis));
      }
    },
    demand(_, marks) {
      for (const input of inputsOf(node)) marks.offer(input);
    },
    rewrite(_, edit) {
      const kept = node.proto.input.filter((__, index) => edit.isValueLive(inputOf(node, index)));
      if (kept.length === node.proto.input.length) return;
      const left = node.inputs.filter((value) => value !== undefined && edit.isValueLive(value));
      node.inputs.splice(0, node.inputs.length, ...left);
      node.proto.input = kept;
    },
  };
};

function unknownNumbers(length: number): Float64Array {
  return new Float64Array(length).fill(Number.NaN);
}

const split: RuleChoice = (node) => {
  const x = inputOf(node, 0);
  const axis = axisOf(node, 0);
  const sizes = splitSizes(node.context);
  if (sizes === undefined || typeof x.shape?.[axis] !== 'number') return undefined;
  const offsets = sizes.map((_, index) => sizes.slice(0, index).reduce((sum, size) => sum + size, 0));
  const parts = node.outputs.map((output, index) => ({ output, from: offsets[index] ?? 0, size: sizes[index] ?? 0 }));
  return {
    constants() {
      const known = x.constants[axis];
      for (const { output, from, size } of parts) {
        if (output !== undefined && known !== undefined) output.constants[axis] = known.slice(from, from + size);
      }
    },
    couple(_, net) {
      for (const { output, from, size } of parts) {
        if (output === undefined) continue;
        joinOthers(net, x, output, axis);
        joinRange(net, [x, axis, from], [output, axis, 0], size);
      }
    },
    rewrite(_, edit) {
      const counts = parts.map(({ from, size }) => edit.countKept(x, axis, from, from + size));
      if (counts.every((count, index) => count === sizes[index])) return;
      // A part of which nothing is left is read by nobody.
      node.proto.output = node.proto.output.filter((__, index) => (counts[index] ?? 0) > 0);
      const left = counts.filter((count) => count > 0);
      node.proto.attribute = node.proto.attribute.filter(({ name }) => name !== 'num_outputs');
      if (node.context.opset >= 13) edit.setIntegers(node, 1, 'split', left);
      else setInts(node.proto, 'split', left);
    },
  };
};

/** Channels are taken one after the other, or along that axis nothing can shrink. */
const slice: RuleChoice = (node) => {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const slices = slicesOf(node.context);
  if (slices === undefined) return undefined;
  const ranges = slices.map(({ axis, start, end, step }) => {
    const length = lengthOf(x, axis);
    return { axis, step, length, ...sliceRange(length, start, end, step) };
  });
  const whole = (axis: number): boolean => !ranges.some((range) => range.axis === axis);
  return {
    constants() {
      for (const [axis, known] of x.constants.entries()) {
        const range = ranges.find((candidate) => candidate.axis === axis);
        if (known === undefined) continue;
        out.constants[axis] =
          range === undefined
            ? known
            : Float64Array.from(
                { length: range.count },
                (_, index) => known[range.first + index * range.step] ?? Number.NaN,
              );
      }
    },
    couple(_, net) {
      for (const axis of x.shape?.keys() ?? []) if (whole(axis)) net.joinAxes(x, axis, out, axis);
      for (const { axis, step, length, first, count } of ranges) {
        if (step === 1 && length > 0) {
          joinRange(net, [x, axis, first], [out, axis, 0], count);
          continue;
        }
        for (const value of [x, out]) net.pinAxis(value, axis, `sliced in steps by ${node.label}`);
      }
    },
    rewrite: (_, edit) => rewriteSlice(node, ranges, edit),
  };
};

interface SliceRange {
  axis: number;
  step: number;
  length: number;
  first: number;
  count: number;
}

function rewriteSlice(node: NodeFacts, ranges: readonly SliceRange[], edit: Rewriter): void {
  const x = inputOf(node, 0);
  if (ranges.every(({ axis }) => edit.kept(x, axis) === undefined)) return;
  const slices = slicesOf(node.context) ?? [];
  const bounds = slices.map(({ start, end }, index) => {
    const range = ranges[index];
    // An end beyond all bounds has more digits than a number here can hold.
    if (range === undefined || edit.kept(x, range.axis) === undefined) return [start, Math.min(end, MAX_END)] as const;
    const from = edit.countKept(x, range.axis, 0, range.first);
    return [from, from + edit.countKept(x, range.axis, range.first, range.first + range.count)] as const;
  });
  const starts = bounds.map(([start]) => start);
  const ends = bounds.map(([, end]) => end);
  if (node.context.opset < 10) {
    setInts(node.proto, 'starts', starts);
    setInts(node.proto, 'ends', ends);
  } else {
    edit.setIntegers(node, 1, 'starts', starts);
    edit.setIntegers(node, 2, 'ends', ends);
    // All of them must be of one type, and these may have been int32.
    const axes = slices.map(({ axis }) => axis);
    const steps = slices.map(({ step }) => step);
    if (node.inputs[3] !== undefined) edit.setIntegers(node, 3, 'axes', axes);
    if (node.inputs[4] !== undefined) edit.setIntegers(node, 4, 'steps', steps);
  }
}

/** A rule for operators that give each axis of the output the place of one axis of the input. */
function permuting(sourceOf: readonly number[]): Rule {
  return {
    constants(node) {
      const [x, out] = [inputOf(node, 0), outputOf(node)];
      for (const [axis, source] of sourceOf.entries()) if (source >= 0) out.constants[axis] = x.constants[source];
    },
    couple(node, net) {
      const [x, out] = [inputOf(node, 0), outputOf(node)];
      for (const [axis, source] of sourceOf.entries()) {
        if (source >= 0) net.joinAxes(x, source, out, axis);
        else net.pinAxis(out, axis, 'an axis of length 1');
      }
      for (const axis of x.atoms.keys()) if (!sourceOf.includes(axis)) net.pinAxis(x, axis, 'an axis of length 1');
    },
  };
}

const transpose: RuleChoice = (node) => {
  const rank = inputOf(node, 0).shape?.length ?? 0;
  const order = intsAttribute(node.proto, 'perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  return permuting(order);
};

const squeeze: RuleChoice = (node) => {
  const axes = squeezedAxes(node.context);
  const rank = inputOf(node, 0).shape?.length ?? 0;
  const all = Array.from({ length: rank }, (_, axis) => axis);
  return axes && permuting(all.filter((axis) => !axes.includes(axis)));
};

const unsqueeze: RuleChoice = (node) => {
  const rank = outputOf(node).shape?.length ?? 0;
  const axes = axesOf(node.context, rank);
  let source = 0;
  return axes && permuting(Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? -1 : source++)));
};

export const layout: RuleFamily = {
  Concat: concat,
  Split: split,
  Slice: slice,
  Transpose: transpose,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
};
