// What an operator's rule tells the analysis. Rules come in three turns: which channels are constant (forward), which
// channels belong together, and which are needed if the node is (backward). Then nodes are rewritten.
import type { InferContext } from '../onnx/infer/rule.js';
import type { NodeProto } from '../onnx/schema/onnx_pb.js';
import type { Contraction, Grouping } from './contraction.js';
import type { Value } from './value.js';

/** A node of the main graph. */
export interface NodeFacts {
  readonly proto: NodeProto;
  /** The node's name, or its operator and position. */
  readonly label: string;
  /** What its shape rule sees. */
  readonly context: InferContext;
  /** Undefined where an optional one is left out. Rules may replace an input by a constant. */
  readonly inputs: (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  /** Values of the main graph that subgraphs of the node read. */
  readonly captured: readonly Value[];
  rule: Rule;
  /** Inputs that the rule couples with nothing, such as the scales of a Resize: they are read as a whole. */
  parameters: readonly Value[];
  /** Conv, ConvTranspose, Gemm and MatMul: what is multiplied and summed. */
  contraction?: Contraction | undefined;
}

export interface Rule {
  /** Fills in `constants` of the outputs from those of the inputs. */
  constants?(node: NodeFacts): void;
  /** Joins atoms that can only be removed together, and pins those that can't be removed. */
  couple(node: NodeFacts, couplings: Couplings): void;
  /** The node is needed: marks what it reads. Called again as long as marks change. @default needs all inputs */
  demand?(node: NodeFacts, demands: Demands): void;
  /** Adapts the node to the channels that are left. */
  rewrite?(node: NodeFacts, rewriter: Rewriter): void;
}

/** Chooses the rule of a node, or none where the node's form is one that the rules do not know. */
export type RuleChoice = (node: NodeFacts) => Rule | undefined;

export type RuleFamily = Readonly<Record<string, Rule | RuleChoice>>;

/** One index of one axis of a value. */
export type Channel = readonly [value: Value, axis: number, index: number];

/** Joins and pins atoms. */
export interface Couplings {
  readonly grouping: Grouping;
  /** Joins two axes index by index. Where only one can shrink, it is pinned. */
  joinAxes(a: Value, axisA: number, b: Value, axisB: number): void;
  /** Joins one index of an axis with one of another; where an axis cannot shrink, the other is pinned there. */
  join(a: Channel, b: Channel): void;
  /** Makes all of an axis one class: it goes as a whole or not at all. */
  joinWhole(value: Value, axis: number): void;
  pinAxis(value: Value, axis: number, reason: string): void;
  /** Whether no index of the axis can go. */
  isPinned(value: Value, axis: number): boolean;
  /** A constant that is not in the model yet: `numbers` along one axis, the same everywhere else. */
  literal(rank: number, axis: number, numbers: Float64Array, type: number): Value;
}

/** Marks what is needed. */
export interface Demands {
  /** The value is read by a node that needs at least one of its channels. */
  need(value: Value): void;
  /** The value is read, as far as channels of it are marked. */
  offer(value: Value): void;
  mark(value: Value, axis: number, index: number, reason: string): void;
  markAxis(value: Value, axis: number, reason: string): void;
  markAll(value: Value, reason: string): void;
  isLive(value: Value, axis: number, index: number): boolean;
  /** The channel of a value that carries the constants of its other constant channels; the caller marks it. */
  carrierOf(value: Value, axis: number): number;
}

/** Changes the model. All numbers of channels are those before the change. */
export interface Rewriter {
  isLive(value: Value, axis: number, index: number): boolean;
  isValueLive(value: Value): boolean;
  /** The indices that stay, or undefined where all do. */
  kept(value: Value, axis: number): readonly number[] | undefined;
  /** How many of the indices [from, to) stay. */
  countKept(value: Value, axis: number, from: number, to: number): number;
  carrierOf(value: Value, axis: number): number;
  /** Replaces an input by a new int64 vector. */
  setIntegers(node: NodeFacts, input: number, name: string, values: readonly number[]): void;
  /** Adds numbers along an axis of a constant vector that the node reads, or gives the node that input. */
  addToVector(node: NodeFacts, input: number, addend: Float64Array, type: number): void;
  /** Adds numbers along the last axis of the node's output, by an Add after it. */
  addAfter(node: NodeFacts, addend: Float64Array, type: number): void;
  /** Adds `factor` times each of some columns of a weight to the column `carrier`. */
  mergeColumns(node: NodeFacts, merge: ColumnMerge): void;
}

/** Columns of a weight along `axis` that are added to one of them. */
export interface ColumnMerge {
  axis: number;
  carrier: number;
  /** Column and factor. */
  columns: readonly (readonly [column: number, factor: number])[];
}

/** Input `index`, which the operator requires. */
export function inputOf(node: NodeFacts, index: number): Value {
  const value = node.inputs[index];
  if (value === undefined) throw new RangeError(`${node.label} lacks input ${index}`);
  return value;
}

export function outputOf(node: NodeFacts): Value {
  const value = node.outputs[0];
  if (value === undefined) throw new RangeError(`${node.label} has no output`);
  return value;
}
