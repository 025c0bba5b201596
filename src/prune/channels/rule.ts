// What an operator's rule sees and says. A rule labels the outputs of a node from the labels of its inputs, and joins
// or protects channels on the way.
import type { Definition } from '../../onnx/graph.js';
import type { NodeProto, TensorProto } from '../../onnx/schema/onnx_pb.js';
import { rootOf } from '../weight-uses.js';
import type { Label } from './labels.js';
import type { ChannelSets } from './sets.js';

/** One node of the main graph. */
export interface RuleContext {
  readonly node: NodeProto;
  readonly sets: ChannelSets;
  /** The label of an input; undefined for constants and for values whose channels are not known. */
  label(input: number): Label | undefined;
  /** Whether an input depends on nothing but initializers and Constants; left-out ones count as such. */
  isConstant(input: number): boolean;
  /** What an input is, for the rules of layout. */
  definition(input: number): Definition | undefined;
  /** The elements of a small constant integer input; undefined where it is none. */
  integers(input: number): number[] | undefined;
  /** The same of a value by its name. */
  integersOf(name: string): number[] | undefined;
  /** The channels that a weight makes, one a row of its matrix; undefined where its rows are not known. */
  weight(input: number): Int32Array | undefined;
  /** The constant vector of an input belongs to these channels: where they go, its elements become zero. */
  follow(input: number, channels: Int32Array): void;
}

/** The labels of the outputs in order. Throws nothing; what it doesn't understand, it leaves to `mixing`. */
export type ChannelRule = (context: RuleContext) => readonly (Label | undefined)[] | undefined;

export type ChannelFamily = Readonly<Record<string, ChannelRule>>;

/** The dimensions of a constant tensor. */
export function dimsOf(definition: Definition | undefined): number[] | undefined {
  const tensor: TensorProto | undefined = definition?.kind === 'tensor' ? definition.tensor : undefined;
  return tensor?.dims.map(Number);
}

/**
 * Whether a constant has one element for each channel, along their axis. Of one that comes through other operators only
 * the number of elements is known.
 */
export function isVectorOf({ channels, axis }: Label, definition: Definition | undefined): boolean {
  const dims = dimsOf(definition);
  if (dims === undefined)
    return rootOf(definition)?.tensor.dims.reduce((count, dim) => count * Number(dim), 1) === channels.length;
  return dims.at(axis) === channels.length && dims.every((dim, index) => dim === 1 || index === dims.length + axis);
}
