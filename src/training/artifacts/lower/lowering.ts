// What a lowering sees and returns: one operator of ONNX Runtime's training builds, said with operators that the stock
// runtime has. Where it is the gradient of an ONNX operator, the mathematics is that operator's rule in autodiff/.
import { create } from '@bufbuild/protobuf';
import { contrib, importDomain } from '../../../autodiff/opsets.js';
import { type Gradients, type RuleContext, unbroadcast, type ValueFacts } from '../../../autodiff/rule.js';
import { ruleOf } from '../../../autodiff/rules/index.js';
import { SecateurError } from '../../../errors.js';
import type { Attributes } from '../../../onnx/build/attributes.js';
import type { GraphBuilder, NodeInput, Value } from '../../../onnx/build/graph-builder.js';
import { type ModelProto, type NodeProto, NodeProtoSchema, type TensorProto } from '../../../onnx/schema/onnx_pb.js';

/** What the node at hand is surrounded by. */
export interface Surroundings {
  readonly model: ModelProto;
  readonly opset: number;
  readonly graph: GraphBuilder;
  /** Shape and type of the values of the graph as it was. Empty while stand-ins are made. */
  readonly shapes: ReadonlyMap<Value, ValueFacts>;
  /** The node that makes a value. */
  producer(value: Value): NodeProto | undefined;
  /** The node of that name. */
  named(name: string): NodeProto | undefined;
  /** The tensor that a value is, where that is written in the graph. */
  constant(value: Value): TensorProto | undefined;
}

/** What a lowering may ask and do. */
export interface LoweringContext extends Surroundings {
  readonly node: NodeProto;
  /** Input `index` by name; '' where it is left out. */
  input(index: number): Value;
  facts(value: Value): ValueFacts;
  emit(opType: string, inputs: readonly NodeInput[], attributes?: Attributes): Value;
  emitAll(opType: string, inputs: readonly NodeInput[], count: number, attributes?: Attributes): Value[];
}

/** One value an output of the node, or null for those that nobody asked for. */
export type Lowered = readonly (Value | null)[];

export interface Lowering {
  /**
   * Makes values of the right shapes and types, cheaply and with any contents, for the run that shows the shapes. May
   * not ask for facts.
   */
  standIn(context: LoweringContext): Lowered;
  lower(context: LoweringContext): Lowered;
}

/** Lowerings by operator: of com.microsoft, or of ai.onnx where the training builds put an operator of theirs there. */
export type LoweringFamily = Readonly<Record<string, Lowering>>;

/** For an output of which only the shape matters: that of the input. */
export const like =
  (...inputs: readonly number[]) =>
  (c: LoweringContext): Lowered =>
    inputs.map((index) => c.input(index));

/** A lowering that needs no facts is its own stand-in. */
export function exact(lower: (context: LoweringContext) => Lowered): Lowering {
  return { standIn: lower, lower };
}

/** The forward operator that a gradient operator belongs to. */
export interface Forward {
  readonly opType: string;
  readonly domain?: string;
  readonly inputs: readonly Value[];
  /** The forward output, and more where the rule looks at them. Where there is none, the gradient: of equal shape. */
  readonly outputs: readonly Value[];
  readonly dY: Value;
  /** Which inputs' gradients are the outputs of the gradient operator, in order. @default all, in order */
  readonly wanted?: readonly number[];
  /** The forward node where its attributes are not the gradient node's, or the rule wants to change it. */
  readonly node?: NodeProto;
}

/** Calls the forward operator's rule for those of the node's outputs that have a name. */
export function byRule(c: LoweringContext, forward: Forward): Lowered {
  const { inputs, outputs, dY, wanted = inputs.map((_, index) => index), domain = '' } = forward;
  const node = forward.node ?? create(NodeProtoSchema, { ...c.node, opType: forward.opType, domain });
  const needed = new Set(wanted.filter((_, index) => (c.node.output[index] ?? '') !== ''));
  const rule = ruleOf(node);
  if (typeof rule !== 'function') throw unsupported(c, `no gradient of ${forward.opType} is known`);
  const context: RuleContext = {
    node,
    opset: c.opset,
    inputs,
    outputs,
    dY,
    dYs: (index) => (index === 0 ? dY : undefined),
    graph: c.graph,
    needs: (index) => needed.has(index),
    facts: (value) => c.facts(value),
    emit: c.emit,
    emitAll: c.emitAll,
    emitContrib: (opType, args, attributes = {}) => {
      importDomain(c.model, contrib);
      return c.graph.op(opType, args, attributes, { name: labelOf(c.node), domain: contrib });
    },
  };
  const gradients = rule(context);
  return wanted.map((index) => (needed.has(index) ? gradientAt(context, gradients, index) : null));
}

function gradientAt(context: RuleContext, gradients: Gradients, index: number): Value | null {
  const gradient = gradients[index] ?? null;
  if (gradient === null || typeof gradient === 'string') return gradient;
  return unbroadcast(context, context.inputs[index] ?? '', gradient);
}

export function labelOf(node: NodeProto): string {
  return node.name || node.output.find((value) => value !== '') || node.opType;
}

/** `Expected to lower ConvGrad (conv1_Grad/ConvGrad_0), but ...` */
export function unsupported(c: LoweringContext, why: string): SecateurError {
  return new SecateurError('UNSUPPORTED', `Expected to lower ${c.node.opType} (${labelOf(c.node)}), but ${why}`);
}
