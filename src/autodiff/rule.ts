// What a gradient rule sees and returns. A rule knows one operator's mathematics; accumulation, unbroadcasting and the
// choice of the nodes to visit are the walk's (gradient.ts).
import { SecateurError } from '../errors.js';
import type { Attributes } from '../onnx/build/attributes.js';
import type { GraphBuilder, NodeInput, Value } from '../onnx/build/graph-builder.js';
import { type ElementType, tensor } from '../onnx/build/tensors.js';
import { TensorProto_DataType as DataType, type NodeProto } from '../onnx/schema/onnx_pb.js';

export { floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../onnx/attributes.js';

/** A value's shape and element type, as a run of the forward graph showed them. */
export interface ValueFacts {
  readonly shape: readonly number[];
  readonly dtype: ElementType;
}

/** The gradient of an input in the shape that the input was broadcast to; the walk sums it back. */
export interface Broadcast {
  readonly value: Value;
  readonly shape: readonly number[];
}

/** One gradient an input, in order: of the input's shape, or yet to be unbroadcast, or null where none flows. */
export type Gradients = readonly (Value | Broadcast | null)[];

/** Operators on channels in blocks (blocked-layout.ts). */
export interface Blocks {
  /** Channels in a block. */
  readonly size: number;
  emit(opType: string, inputs: readonly NodeInput[], attributes?: Attributes): Value;
}

/** What a rule may ask and do. */
export interface RuleContext {
  readonly node: NodeProto;
  /** Version of ai.onnx. */
  readonly opset: number;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** Gradient of output 0, in its shape; zeros where only other outputs have one. */
  readonly dY: Value;
  /** Gradient of any output, in its shape. A gradient that no rule asks for is an error, not lost. */
  dYs(output: number): Value | undefined;
  readonly graph: GraphBuilder;
  /** Whether the gradient of this input is wanted. */
  needs(input: number): boolean;
  facts(value: Value): ValueFacts;
  /** Adds a node called `<node>/grad`. */
  emit(opType: string, inputs: readonly NodeInput[], attributes?: Attributes): Value;
  /** The same with several outputs. */
  emitAll(opType: string, inputs: readonly NodeInput[], count: number, attributes?: Attributes): Value[];
  /** The same from com.microsoft. */
  emitContrib(opType: string, inputs: readonly NodeInput[], attributes?: Attributes): Value;
  /** The runtime's blocked layout; undefined where the graph is to do without it. */
  readonly blocks?: Blocks | undefined;
}

/** What adds plain nodes: a rule's context, or another. */
export type NodeEmitter = Pick<RuleContext, 'graph' | 'opset' | 'emit'>;

export type Rule = (context: RuleContext) => Gradients;

/** Marks an operator whose gradient is zero everywhere or that has none, on purpose: nothing flows through it. */
export const noGradient = 'noGradient';

export type RuleFamily = Readonly<Record<string, Rule | typeof noGradient>>;

/** Input `index` by name; the rule's operator requires it. */
export function input({ inputs }: RuleContext, index: number): Value {
  return inputs[index] ?? '';
}

export function output({ outputs }: RuleContext): Value {
  return outputs[0] ?? '';
}

/** The second output of the forward node, asked for if it was not. */
export function secondOutput({ node, graph }: RuleContext, what: string): Value {
  if (!node.output[1]) node.output[1] = graph.fresh(`${node.output[0]}/${what}`);
  return node.output[1];
}

/** A scalar constant of a value's element type, float32 or float64. */
export function scalarLike(context: RuleContext, value: number, like: Value): Value {
  return context.facts(like).dtype === 'float64'
    ? context.graph.constant([], Float64Array.of(value))
    : context.graph.float32(value);
}

/** The TensorProto.DataType of a value that is float32 or float64. */
export function floatType(context: RuleContext, value: Value): number {
  return context.facts(value).dtype === 'float64' ? DataType.DOUBLE : DataType.FLOAT;
}

/** The numbers of a Constant or of an initializer that is no input, where they are few and of a plain type. */
export function constantOf({ graph: { graph } }: RuleContext, value: Value): readonly number[] | undefined {
  if (graph.input.some(({ name }) => name === value)) return undefined;
  const node = graph.node.find(({ opType, output }) => opType === 'Constant' && output[0] === value);
  const found = graph.initializer.find(({ name }) => name === value) ?? node?.attribute.find(({ t }) => t)?.t;
  if (found === undefined) return undefined;
  if (found.floatData.length > 0) return found.floatData;
  if (found.int64Data.length > 0) return found.int64Data.map(Number);
  const bytes = found.rawData.slice(); // aligned
  if (found.dataType === DataType.FLOAT) return [...new Float32Array(bytes.buffer)];
  if (found.dataType === DataType.DOUBLE) return [...new Float64Array(bytes.buffer)];
  return found.dataType === DataType.INT64 ? [...new BigInt64Array(bytes.buffer)].map(Number) : undefined;
}

/** Zeros of the shape that an int64 vector holds, in a value's element type. */
export function zerosOf(context: RuleContext, shape: Value, like: Value): Value {
  const zero = context.facts(like).dtype === 'float64' ? new Float64Array(1) : new Float32Array(1);
  return context.emit('ConstantOfShape', [shape], { value: tensor('', [1], zero) });
}

/** Zeros in the shape and type of a value. Needs no static shape. */
export function zerosLike(context: RuleContext, like: Value): Value {
  return zerosOf(context, context.emit('Shape', [like]), like);
}

/** Refuses a node whose gradient needs a later operator set. */
export function refuseBefore({ node, opset }: RuleContext, version: number, what: string): void {
  if (opset >= version) return;
  const which = `${node.opType} (${node.name || node.output[0]})`;
  throw new SecateurError(
    'UNSUPPORTED',
    `Expected opset ${version} or later for the gradient of ${which}, ${what}, got ${opset}; toTrainingMode raises it`,
  );
}

/** The forward operator once more, on other inputs, with its attributes but those named. */
export function again(context: RuleContext, inputs: readonly NodeInput[], without: readonly string[] = []): Value {
  const value = context.emit(context.node.opType, inputs);
  const added = context.graph.graph.node.at(-1);
  added?.attribute.push(...context.node.attribute.filter(({ name }) => !without.includes(name)));
  return value;
}

/** Sum over axes; ReduceSum takes them as an input since opset 13. */
export function sum(context: NodeEmitter, value: Value, axes: readonly number[], keepDims: boolean): Value {
  const keepdims = keepDims ? 1 : 0;
  return context.opset >= 13
    ? context.emit('ReduceSum', [value, context.graph.int64(axes)], { keepdims })
    : context.emit('ReduceSum', [value], { axes, keepdims });
}

/** Mean over axes; ReduceMean takes them as an input since opset 18. */
export function mean(context: NodeEmitter, value: Value, axes: readonly number[], keepDims: boolean): Value {
  const keepdims = keepDims ? 1 : 0;
  return context.opset >= 18
    ? context.emit('ReduceMean', [value, context.graph.int64(axes)], { keepdims })
    : context.emit('ReduceMean', [value], { axes, keepdims });
}

/** Adds axes of length 1 (Unsqueeze), or takes them away (Squeeze); axes are an input since opset 13. */
export function changeAxes(
  context: RuleContext,
  opType: 'Squeeze' | 'Unsqueeze',
  value: Value,
  axes: readonly number[],
): Value {
  return context.opset >= 13
    ? context.emit(opType, [value, context.graph.int64(axes)])
    : context.emit(opType, [value], { axes });
}

/** The value in the shape of another. Needs no static shape. */
export function reshapeLike(context: RuleContext, value: Value, like: Value): Value {
  return context.emit('Reshape', [value, context.emit('Shape', [like])]);
}

/** A gradient summed over the axes along which its input was broadcast. */
export function unbroadcast(context: RuleContext, input: Value, { value, shape: wide }: Broadcast): Value {
  const { shape } = context.facts(input);
  const extra = wide.length - shape.length;
  const repeated = wide.flatMap((size, axis) =>
    axis >= extra && shape[axis - extra] === 1 && size !== 1 ? [axis] : [],
  );
  const leading = Array.from({ length: extra }, (_, axis) => axis);
  const kept = repeated.length > 0 ? sum(context, value, repeated, true) : value;
  return leading.length > 0 ? sum(context, kept, leading, false) : kept;
}
