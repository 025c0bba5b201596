// Operators that move channels without computing: Concat, Split, Slice, Pad, Gather, Transpose, Squeeze, Unsqueeze. (See
// reshape.ts for Reshape and Flatten.) Their attributes count channels and are rewritten.
import { intAttribute, intsAttribute, textAttribute } from '../../onnx/attributes.js';
import { axesOf, padsOf, sliceRange, slicesOf, splitSizes, squeezedAxes } from '../../onnx/infer/layout.js';
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
import { constantsOf, lengthOf, type Value, wholeOf } from '../value.js';
import { inputsOf } from './opaque.js';

/** An axis attribute, counted from the front of input 0. */
function axisOf(node: NodeFacts, otherwise: number): number {
  return frontAxis(intAttribute(node.proto, 'axis', otherwise), inputOf(node, 0).shape?.length ?? 0);
}

function joinOthers(net: Couplings, a: Value, b: Value, skip: number): void {
  for (const axis of a.shape?.keys() ?? []) if (axis !== skip) net.joinAxes(a, axis, b, axis);
}

/** Joins `count` indices of one axis with those of another. Axes that cannot shrink pin the other. */
function joinRange(
  net: Couplings,
  [a, axisA, fromA]: readonly [Value, number, number],
  [b, axisB, fromB]: readonly [Value, number, number],
  count: number,
): void {
  for (let index = 0; index < count; index++) net.join(a, axisA, fromA + index, b, axisB, fromB + index);
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
      node.inputs.splice(
        0,
        Number.POSITIVE_INFINITY,
        ...node.inputs.filter((value) => value !== undefined && edit.isValueLive(value)),
      );
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
  const starts = slices.map(({ start }, index) => {
    const range = ranges[index];
    const same = range === undefined || edit.kept(x, range.axis) === undefined;
    return same ? start : edit.countKept(x, range.axis, 0, range.first);
  });
  const ends = slices.map(({ end }, index) => {
    const range = ranges[index];
    const same = range === undefined || edit.kept(x, range.axis) === undefined;
    return same ? end : edit.countKept(x, range.axis, 0, range.first + range.count);
  });
  if (node.context.opset < 10) {
    setInts(node.proto, 'starts', starts);
    setInts(node.proto, 'ends', ends);
  } else {
    edit.setIntegers(node, 1, 'starts', starts);
    edit.setIntegers(node, 2, 'ends', ends);
  }
}

/** Constant padding makes channels of its own. Along other axes it keeps a channel constant that equals the padding. */
const pad: RuleChoice = (node) => {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const pads = padsOf(node.context);
  const constant = textAttribute(node.proto, 'mode', 'constant') === 'constant';
  if (pads === undefined || [...pads.begins, ...pads.ends].some((count) => count < 0)) return undefined;
  const { begins, ends } = pads;
  const added = (axis: number): number => (begins[axis] ?? 0) + (ends[axis] ?? 0);
  const others = (axis: number): boolean => begins.some((_, other) => other !== axis && added(other) > 0);
  const fill = node.context.opset < 11 ? attributeFill(node) : inputFill(node);
  return {
    constants() {
      for (const axis of begins.keys()) {
        const known = x.constants[axis];
        if (known === undefined && (added(axis) === 0 || !constant || typeof x.shape?.[axis] !== 'number')) continue;
        out.constants[axis] = Float64Array.from({ length: lengthOf(out, axis) }, (_, index) => {
          const source = index - (begins[axis] ?? 0);
          if (source < 0 || source >= lengthOf(x, axis)) return constant ? fill : Number.NaN;
          const value = known?.[source] ?? Number.NaN;
          return others(axis) && constant && value !== fill ? Number.NaN : value;
        });
      }
    },
    couple(_, net) {
      for (const axis of begins.keys()) {
        if (added(axis) === 0) net.joinAxes(x, axis, out, axis);
        else if (constant && typeof x.shape?.[axis] === 'number') {
          joinRange(net, [x, axis, 0], [out, axis, begins[axis] ?? 0], lengthOf(x, axis));
        } else for (const value of [x, out]) net.pinAxis(value, axis, `padded by ${node.label}`);
      }
    },
    rewrite: (_, edit) => rewritePad(node, pads, edit),
  };
};

function attributeFill(node: NodeFacts): number {
  return node.proto.attribute.find(({ name }) => name === 'value')?.f ?? 0;
}

function inputFill(node: NodeFacts): number {
  const value = node.inputs[2];
  return value === undefined ? 0 : wholeOf(value);
}

function rewritePad(node: NodeFacts, { begins, ends }: { begins: number[]; ends: number[] }, edit: Rewriter): void {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  if (begins.every((_, axis) => edit.kept(out, axis) === undefined)) return;
  const left = (from: (axis: number) => number, to: (axis: number) => number, given: readonly number[]): number[] =>
    given.map((count, axis) =>
      edit.kept(out, axis) === undefined ? count : edit.countKept(out, axis, from(axis), to(axis)),
    );
  const firsts = left(
    () => 0,
    (axis) => begins[axis] ?? 0,
    begins,
  );
  const lasts = left(
    (axis) => (begins[axis] ?? 0) + lengthOf(x, axis),
    (axis) => lengthOf(out, axis),
    ends,
  );
  const pads = [...firsts, ...lasts];
  if (node.context.opset < 11) setInts(node.proto, node.context.opset < 2 ? 'paddings' : 'pads', pads);
  else {
    edit.setIntegers(node, 1, 'pads', pads);
    // All axes are given now.
    if (node.proto.input.length > 3) {
      node.proto.input.length = 3;
      node.inputs.length = 3;
    }
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
  Pad: pad,
  Transpose: transpose,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
};
