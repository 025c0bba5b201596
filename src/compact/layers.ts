// What happens to each layer: channels before and after, and dead channels that stay, with the reason.
import type { NodeProto } from '../onnx/schema/onnx_pb.js';
import type { Marks } from './marks.js';
import type { Network } from './network.js';
import type { NodeFacts } from './rule.js';
import { lengthOf, type Value } from './value.js';

/** Numbers of channels. */
export interface Channels {
  before: number;
  after: number;
}

/** A layer that is smaller now. With 0 channels after, it is gone. */
export interface CompactedLayer {
  /** The node's name. */
  name: string;
  op: string;
  inputs: Channels;
  outputs: Channels;
}

/** Channels that carry nothing and stay nevertheless. */
export interface LeftChannels {
  /** The node's name. */
  layer: string;
  /** `output`: all their weights are zero. `input`: no weight that is not zero reads them. */
  side: 'output' | 'input';
  channels: number;
  reason: string;
}

/** Channels of the layers with constant weights, by node. */
export type LayerSizes = ReadonlyMap<NodeProto, { name: string; op: string; inputs: number; outputs: number }>;

export function sizesOf(network: Network): LayerSizes {
  const sizes = new Map<NodeProto, { name: string; op: string; inputs: number; outputs: number }>();
  for (const { proto, label, contraction, outputs } of network.nodes) {
    const [out] = outputs;
    if (contraction?.weights === undefined || out === undefined) continue;
    const { x, xAxis, outAxis } = contraction;
    const counts = { inputs: lengthOf(x, xAxis), outputs: lengthOf(out, outAxis) };
    sizes.set(proto, { name: label, op: proto.opType, ...counts });
  }
  return sizes;
}

/** The layers that are smaller, in the order of the graph. */
export function changedLayers(before: LayerSizes, after: LayerSizes): CompactedLayer[] {
  return [...before].flatMap(([proto, { name, op, inputs, outputs }]) => {
    const now = after.get(proto) ?? { inputs: 0, outputs: 0 };
    if (now.inputs === inputs && now.outputs === outputs) return [];
    const channels = { before: inputs, after: now.inputs };
    return [{ name, op, inputs: channels, outputs: { before: outputs, after: now.outputs } }];
  });
}

/** Channels of a compact model whose weights are zero or that nobody reads, and why they stay. */
export function leftChannels({ network, marks }: Facts): LeftChannels[] {
  return network.nodes.flatMap((node) => {
    const { contraction } = node;
    const out = node.outputs[0];
    if (contraction?.weights === undefined || out === undefined) return [];
    const { outAxis, groups, weights } = contraction;
    const { nonzero } = weights;
    const rows = Array.from({ length: nonzero.rows }, (_, row) => row).filter((row) => nonzero.isEmptyRow(row));
    const left = count(node, 'output', rows, (row) => reasonOf({ network, marks }, out, outAxis, row));
    if (groups > 1) return left;
    const used = nonzero.usedColumns();
    const columns = Array.from({ length: nonzero.columns }, (_, column) => column).filter(
      (column) => !used.has(column),
    );
    return [...left, ...count(node, 'input', columns, (column) => inputReason(node, { network, marks }, column))];
  });
}

/** An input that nobody reads, though the layer reads another part of the class: a pixel of a flattened channel. */
function inputReason(node: NodeFacts, facts: Facts, column: number): string | undefined {
  const { contraction, proto, label } = node;
  if (contraction === undefined) return undefined;
  const reason = reasonOf(facts, contraction.x, contraction.xAxis, column);
  return reason === `read by ${proto.opType} ${label}` ? 'part of a channel of which other parts are read' : reason;
}

interface Facts {
  network: Network;
  marks: Marks;
}

/** Channels by reason. */
function count(
  { label }: NodeFacts,
  side: LeftChannels['side'],
  indices: readonly number[],
  reason: (index: number) => string | undefined,
): LeftChannels[] {
  const counts = new Map<string, number>();
  for (const index of indices) {
    const why = reason(index);
    if (why !== undefined) counts.set(why, (counts.get(why) ?? 0) + 1);
  }
  return [...counts].map(([why, channels]) => ({ layer: label, side, channels, reason: why }));
}

/** Why a channel stays: the node that couples it with one that lives says more than who reads that one. */
function reasonOf({ network, marks }: Facts, value: Value, axis: number, index: number): string | undefined {
  const reason = marks.reasonOf(value, axis, index);
  const atom = value.atoms[axis] ?? -1;
  if (reason === undefined || atom < 0) return reason;
  const found = network.nodes.find((node) => couples(node, network, network.atoms.classOf(atom + index)));
  return found === undefined ? reason : `coupled by ${found.proto.opType} ${found.label} with a channel that lives`;
}

/** Whether a node joins a constant channel of a class with one that is not constant. */
function couples(node: NodeFacts, network: Network, root: number): boolean {
  if (node.contraction !== undefined) return false;
  const operands = node.inputs.filter((value) => value !== undefined && !value.constant);
  if (operands.length < 2) return false;
  const constancy = operands.flatMap((value) => (value === undefined ? [] : constancyIn(value, network, root)));
  return constancy.includes(true) && constancy.includes(false);
}

/** Whether the channels of a value that are in a class are constant. */
function constancyIn(value: Value, network: Network, root: number): boolean[] {
  return value.atoms.flatMap((first, axis) => {
    if (first < 0 || network.isPinned(value, axis)) return [];
    const indices = Array.from({ length: lengthOf(value, axis) }, (_, index) => index);
    const members = indices.filter((index) => network.atoms.classOf(first + index) === root);
    return members.map((index) => !Number.isNaN(value.constants[axis]?.[index] ?? Number.NaN));
  });
}
