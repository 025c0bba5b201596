// Pad. Constant padding of channels makes channels of its own; along other axes a channel stays constant only if it
// equals the padding.
import { findAttribute, stringAttribute } from '../../onnx/attributes.js';
import { type Pads, padsOf } from '../../onnx/infer/layout.js';
import { setInts } from '../attributes.js';
import { inputOf, type NodeFacts, outputOf, type Rewriter, type RuleChoice, type RuleFamily } from '../rule.js';
import { lengthOf, wholeOf } from '../value.js';
import { joinRange } from './broadcast.js';

interface Padding extends Pads {
  /** The number that is padded with, NaN where unknown or where the mode is another one. */
  fill: number;
  constant: boolean;
}

function paddingOf(node: NodeFacts): Padding | undefined {
  const pads = padsOf(node.context);
  if (pads === undefined || [...pads.begins, ...pads.ends].some((count) => count < 0)) return undefined;
  const constant = stringAttribute(node.proto, 'mode', 'constant') === 'constant';
  return { ...pads, constant, fill: constant ? fillOf(node) : Number.NaN };
}

function fillOf(node: NodeFacts): number {
  if (node.context.opset < 11) return findAttribute(node.proto, 'value')?.f ?? 0;
  const value = node.inputs[2];
  return value === undefined ? 0 : wholeOf(value);
}

function isPadded({ begins, ends }: Pads, axis: number): boolean {
  return (begins[axis] ?? 0) + (ends[axis] ?? 0) > 0;
}

/** Numbers along an axis of the output. */
function paddedNumbers(node: NodeFacts, padding: Padding, axis: number): Float64Array {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const othersPadded = padding.begins.some((_, other) => other !== axis && isPadded(padding, other));
  return Float64Array.from({ length: lengthOf(out, axis) }, (_, index) => {
    const source = index - (padding.begins[axis] ?? 0);
    if (source < 0 || source >= lengthOf(x, axis)) return padding.fill;
    const value = x.constants[axis]?.[source] ?? Number.NaN;
    return othersPadded && padding.constant && value !== padding.fill ? Number.NaN : value;
  });
}

function rewrite(node: NodeFacts, { begins, ends }: Padding, edit: Rewriter): void {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  if (begins.every((_, axis) => edit.kept(out, axis) === undefined)) return;
  const left = (axis: number, count: number, from: number): number =>
    edit.kept(out, axis) === undefined ? count : edit.countKept(out, axis, from, from + count);
  const pads = [
    ...begins.map((count, axis) => left(axis, count, 0)),
    ...ends.map((count, axis) => left(axis, count, (begins[axis] ?? 0) + lengthOf(x, axis))),
  ];
  if (node.context.opset < 11) {
    setInts(node.proto, node.context.opset < 2 ? 'paddings' : 'pads', pads);
    return;
  }
  edit.setIntegers(node, 1, 'pads', pads);
  // All axes are given now.
  node.proto.input.splice(3);
  node.inputs.splice(3);
}

const pad: RuleChoice = (node) => {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const padding = paddingOf(node);
  if (padding === undefined) return undefined;
  const makesChannels = (axis: number): boolean => padding.constant && typeof x.shape?.[axis] === 'number';
  return {
    constants() {
      for (const axis of padding.begins.keys()) {
        const numbers = isPadded(padding, axis) && makesChannels(axis);
        if (numbers || x.constants[axis] !== undefined) out.constants[axis] = paddedNumbers(node, padding, axis);
      }
    },
    couple(_, net) {
      for (const [axis, begin] of padding.begins.entries()) {
        if (!isPadded(padding, axis)) net.joinAxes(x, axis, out, axis);
        else if (makesChannels(axis)) joinRange(net, [x, axis, 0], [out, axis, begin], lengthOf(x, axis));
        else for (const value of [x, out]) net.pinAxis(value, axis, `padded by ${node.label}`);
      }
    },
    rewrite: (_, edit) => rewrite(node, padding, edit),
  };
};

export const pads: RuleFamily = { Pad: pad };
