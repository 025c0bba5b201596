// Operators that move channels to other places or leave them in theirs: joining, cutting, padding, reshaping.
import { floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../../onnx/attributes.js';
import { sliceRange } from '../../onnx/infer/layout.js';
import { backAxis, frontAxis, type Label, labelOf } from './labels.js';
import { type ChannelFamily, type ChannelRule, dimsOf, type RuleContext } from './rule.js';

const concat: ChannelRule = (context) => {
  const { node, sets } = context;
  const labels = node.input.map((_, input) => context.label(input));
  const [first] = labels.filter((label) => label !== undefined);
  const axis = first && backAxis(first, intAttribute(node, 'axis', 0));
  const apart = labels.some((label) => label !== undefined && (label.axis !== first?.axis || label.spread));
  if (first === undefined || axis === undefined || apart) return undefined;
  const parts = labels.map((label, input) => label?.channels ?? constantChannels(context, input, first.axis));
  const known = parts.filter((part) => part !== undefined);
  if (known.length < parts.length) return undefined;
  if (axis === first.axis) {
    return [{ ...labelOf(joined(known), first.axis, first.rank), pointwise: first.pointwise }];
  }
  if (known.some((part) => part.length !== first.channels.length)) return undefined;
  for (const part of known) sets.joinAll(first.channels, part);
  return [{ ...first, pointwise: false }];
};

function constantChannels(context: RuleContext, input: number, axis: number): Int32Array | undefined {
  const length = dimsOf(context.definition(input))?.at(axis);
  if (length === undefined) return undefined;
  const channels = context.sets.add(length);
  context.sets.protect(channels, 'meet a constant');
  return channels;
}

function joined(parts: readonly Int32Array[]): Int32Array {
  return Int32Array.from(parts.flatMap((part) => [...part]));
}

const split: ChannelRule = (context) => {
  const { node } = context;
  const label = context.label(0);
  const axis = label && backAxis(label, intAttribute(node, 'axis', 0));
  if (label === undefined || axis === undefined) return undefined;
  if (axis !== label.axis) return node.output.map(() => label);
  if (label.spread) return undefined;
  const even = Math.ceil(label.channels.length / node.output.length);
  const given = intsAttribute(node, 'split') ?? context.integers(1);
  if (given === undefined && (node.input[1] ?? '') !== '') return undefined;
  const sizes = given ?? node.output.map(() => even);
  let start = 0;
  return sizes.map((size) => {
    const part = label.channels.slice(start, start + size);
    start += size;
    return { ...label, channels: part };
  });
};

const slice: ChannelRule = (context) => {
  const { node } = context;
  const label = context.label(0);
  const starts = intsAttribute(node, 'starts') ?? context.integers(1);
  const ends = intsAttribute(node, 'ends') ?? context.integers(2);
  if (label === undefined || starts === undefined || ends === undefined) return undefined;
  const has = (input: number) => (node.input[input] ?? '') !== '';
  const axes = intsAttribute(node, 'axes') ?? (has(3) ? context.integers(3) : starts.map((_, index) => index));
  const steps = has(4) ? context.integers(4) : starts.map(() => 1);
  if (axes === undefined || steps === undefined) return undefined;
  const backs = axes.map((axis) => backAxis(label, axis));
  if (backs.includes(undefined)) return undefined;
  const place = backs.indexOf(label.axis);
  if (place < 0) return [label];
  if (label.spread) return undefined;
  return [{ ...label, channels: cut(label.channels, starts[place] ?? 0, ends[place] ?? 0, steps[place] ?? 1) }];
};

function cut(channels: Int32Array, start: number, end: number, step: number): Int32Array {
  const { first, count } = sliceRange(channels.length, start, end, step);
  return Int32Array.from({ length: count }, (_, index) => channels[first + index * step] ?? 0);
}

/** Zeros that are added are channels that nobody makes. */
const pad: ChannelRule = (context) => {
  const { node, sets } = context;
  const label = context.label(0);
  const pads = intsAttribute(node, 'pads') ?? context.integers(1);
  const axes = context.integers(3);
  if (label === undefined || pads === undefined || (axes === undefined && (node.input[3] ?? '') !== ''))
    return undefined;
  const backs =
    axes?.map((axis) => backAxis(label, axis)) ?? pads.slice(pads.length / 2).map((_, i, all) => i - all.length);
  if (backs.includes(undefined)) return undefined;
  const place = backs.indexOf(label.axis);
  if (place < 0) return [{ ...label, pointwise: false }];
  const [before, after] = [pads[place] ?? 0, pads[place + pads.length / 2] ?? 0];
  if (before === 0 && after === 0) return [{ ...label, pointwise: false }];
  const zeros = stringAttribute(node, 'mode', 'constant') === 'constant' && padsWithZero(context);
  if (!zeros || before < 0 || after < 0 || label.spread) return undefined;
  return [{ ...label, channels: joined([sets.add(before), label.channels, sets.add(after)]) }];
};

/** The value is an attribute in older operator sets, an input in newer ones, and 0 where it is left out. */
function padsWithZero({ node, definition }: RuleContext): boolean {
  if ((node.input[2] ?? '') === '') return floatAttribute(node, 'value', 0) === 0;
  const value = definition(2);
  if (value?.kind !== 'tensor') return false;
  const { rawData, floatData } = value.tensor;
  return (
    rawData.length + floatData.length > 0 && rawData.every((byte) => byte === 0) && floatData.every((x) => x === 0)
  );
}

const transpose: ChannelRule = ({ node, label }) => {
  const x = label(0);
  const front = x && frontAxis(x);
  if (x?.rank === undefined || front === undefined) return undefined;
  const order = intsAttribute(node, 'perm') ?? Array.from({ length: x.rank }, (_, axis) => (x.rank ?? 0) - 1 - axis);
  const axis = order.indexOf(front);
  return axis < 0 ? undefined : [{ ...x, axis: axis - x.rank, pointwise: axis === x.rank - 1 }];
};

/** [N, C, ...] to [N, C * ...]. */
const flatten: ChannelRule = ({ node, label }) => {
  const x = label(0);
  const from = x && backAxis(x, intAttribute(node, 'axis', 1));
  return x === undefined || from === undefined || x.axis < from ? undefined : [flattened(x, x.axis === from)];
};

function flattened(x: Label, leads: boolean): Label {
  const exact = !x.spread && leads && x.pointwise;
  return { ...labelOf(x.channels, -1, 2), spread: !exact };
}

/** To [N, -1] after the channel axis, or with the channel axis in its place. */
const reshape: ChannelRule = (context) => {
  const x = context.label(0);
  if (x === undefined || frontAxis(x) !== 1) return undefined;
  const shape = context.integers(1) ?? computedShape(context);
  const [batch, channels] = shape ?? [];
  if (shape === undefined || batch === undefined || channels === undefined || batch > 1) return undefined;
  if (shape.length === 2) return batch === -1 && channels === -1 ? undefined : [flattened(x, true)];
  const keeps = (channels === 0 || channels === x.channels.length) && !x.spread;
  return keeps ? [{ ...labelOf(x.channels, 1 - shape.length, shape.length), pointwise: x.pointwise }] : undefined;
};

/** What exporters write for x.view(x.size(0), -1): a Concat of the length of the batch and -1. */
function computedShape(context: RuleContext): number[] | undefined {
  const definition = context.definition(1);
  if (definition?.kind !== 'computed' || definition.node.opType !== 'Concat' || definition.node.input.length !== 2) {
    return undefined;
  }
  return context.integersOf(definition.node.input[1] ?? '')?.[0] === -1 ? [0, -1] : undefined;
}

/** Axes of length 1 that go or come. */
const squeeze: ChannelRule = (context) => {
  const x = context.label(0);
  const axes = intsAttribute(context.node, 'axes') ?? context.integers(1);
  if (x === undefined || axes === undefined) return undefined;
  const backs = axes.map((axis) => backAxis(x, axis));
  return without(x, backs);
};

const unsqueeze: ChannelRule = (context) => {
  const x = context.label(0);
  const axes = intsAttribute(context.node, 'axes') ?? context.integers(1);
  if (x?.rank === undefined || axes === undefined) return undefined;
  const rank = x.rank + axes.length;
  const added = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  const places = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !added.has(axis));
  const front = places[x.axis + x.rank];
  return front === undefined ? undefined : [{ ...x, axis: front - rank, rank }];
};

/** Sums and means over other axes than that of the channels. */
const reduce: ChannelRule = (context) => {
  const x = context.label(0);
  const axes = intsAttribute(context.node, 'axes') ?? context.integers(1);
  if (x === undefined || axes === undefined || axes.length === 0) return undefined;
  const backs = axes.map((axis) => backAxis(x, axis));
  if (backs.includes(x.axis) || backs.includes(undefined)) return undefined;
  const after = Array.from({ length: -1 - x.axis }, (_, index) => x.axis + 1 + index);
  const pointwise = x.pointwise || after.every((axis) => backs.includes(axis));
  if (intAttribute(context.node, 'keepdims', 1) === 1) return [{ ...x, pointwise }];
  return without({ ...x, pointwise }, backs);
};

function without(x: Label, backs: readonly (number | undefined)[]): [Label] | undefined {
  if (backs.includes(x.axis) || backs.includes(undefined)) return undefined;
  const later = backs.filter((axis) => axis !== undefined && axis > x.axis).length;
  return [{ ...x, axis: x.axis + later, rank: x.rank === undefined ? undefined : x.rank - backs.length }];
}

export const layout: ChannelFamily = {
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Transpose: transpose,
  Flatten: flatten,
  Reshape: reshape,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  ReduceMean: reduce,
  ReduceSum: reduce,
  ReduceMax: reduce,
  ReduceMin: reduce,
  ReduceL2: reduce,
};
