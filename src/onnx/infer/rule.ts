// What a shape rule sees: one node, with the shapes of its inputs and what is known of their contents.
import type { NodeProto } from '../schema/onnx_pb.js';
import type { Dim, Shape, Symbols } from './shape.js';

export interface InferContext {
  readonly node: NodeProto;
  /** Version of ai.onnx. */
  readonly opset: number;
  readonly symbols: Symbols;
  /** Undefined where the input is left out or its rank is unknown. */
  shape(input: number): Shape | undefined;
  /** The elements of a small integer input, in order: shapes, axes, sizes. */
  contents(input: number): readonly Dim[] | undefined;
  /** The elements of a small constant float input. */
  floats(input: number): readonly number[] | undefined;
}

/** The shapes of the outputs in order; undefined where the rank is unknown. */
export type InferRule = (context: InferContext) => readonly (Shape | undefined)[];

export type InferFamily = Readonly<Record<string, InferRule>>;

/** Integers that are an attribute in older operator sets and an input in newer ones. Undefined where not constant. */
export function integers(context: InferContext, name: string, input: number): number[] | undefined {
  const attribute = context.node.attribute.find((candidate) => candidate.name === name);
  if (attribute !== undefined) return attribute.ints.map(Number);
  const contents = context.contents(input);
  return contents?.every((value) => typeof value === 'number') ? [...contents] : undefined;
}

/** Whether an optional input is there. */
export function hasInput(context: InferContext, input: number): boolean {
  return (context.node.input[input] ?? '') !== '';
}
