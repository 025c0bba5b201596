// The model inside an evaluation model: without loss and targets, with its parameters as initializers again.
import { create } from '@bufbuild/protobuf';
import { SecateurError } from '../../errors.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import { copyModel } from '../../onnx/copy.js';
import type { GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } from '../../onnx/schema/onnx_pb.js';
import { StringStringEntryProtoSchema, ValueInfoProtoSchema } from '../../onnx/schema/onnx_pb.js';
import type { Evaluable } from '../evaluable.js';

/** Where the loss of an evaluation model takes its values from. */
export interface LossInputs {
  readonly loss: Value;
  /** The model's output that is compared with the targets. */
  readonly output: Value;
  /** The outputs of the model without the loss. */
  readonly outputs: readonly Value[];
  /** The input of labels or targets. */
  readonly target: Value;
  /** The node of the loss where it is a cross entropy of classes. */
  readonly entropy: NodeProto | undefined;
  /** As our own artifacts say, whose cross entropy is made of several nodes. */
  readonly classes: number | undefined;
  readonly ignoreIndex: number | undefined;
}

/** Keys of metadata: the official tool has the outputs for inference, in order; what else our own graphs do not show. */
const keys = {
  outputs: 'InferenceGraphOutputs',
  lossOutput: 'secateur.loss_output',
  classes: 'secateur.classes',
  ignoreIndex: 'secateur.ignore_index',
} as const;

/** Writes into an evaluation model's metadata what {@link findLossInputs} could not tell from its graph. */
export function noteInference(
  { metadataProps }: ModelProto,
  { output, classes, ignoreIndex }: Evaluable,
  outputs: readonly Value[],
): void {
  const notes = { outputs: outputs.join(), lossOutput: output, classes, ignoreIndex };
  for (const [note, value] of Object.entries(notes)) {
    if (value === undefined) continue;
    const key = keys[note as keyof typeof keys];
    metadataProps.push(create(StringStringEntryProtoSchema, { key, value: String(value) }));
  }
}

function noted({ metadataProps }: ModelProto, note: keyof typeof keys): string | undefined {
  return metadataProps.find(({ key }) => key === keys[note])?.value;
}

function notedNumber(model: ModelProto, note: 'classes' | 'ignoreIndex'): number | undefined {
  const value = noted(model, note);
  return value === undefined ? undefined : Number(value);
}

/**
 * Finds the loss's inputs. The official tool appends the input of targets to the model's inputs, and the loss is output 0.
 *
 * @param inputs the users' inputs, in order.
 */
export function findLossInputs(model: ModelProto, inputs: readonly Value[]): LossInputs {
  const graph = graphOf(model);
  const loss = graph.output[0]?.name ?? '';
  const target = inputs.at(-1) ?? '';
  const entropy = graph.node.find(
    ({ opType, output }) => /^SoftmaxCrossEntropyLoss/.test(opType) && output.includes(loss),
  );
  const known = noted(model, 'outputs')?.split(',') ?? [];
  const told = entropy?.input[0] ?? noted(model, 'lossOutput') ?? known[0];
  const output = told ?? comparedWith(graph, target) ?? graph.output[1]?.name ?? loss;
  const numbers = { classes: notedNumber(model, 'classes'), ignoreIndex: notedNumber(model, 'ignoreIndex') };
  return { loss, output, outputs: known.includes(output) ? known : [output], target, entropy, ...numbers };
}

/** The one computed value that does not depend on the targets but meets them; undefined where there are several. */
function comparedWith({ node: nodes }: GraphProto, target: Value): Value | undefined {
  const depending = new Set([target]);
  const depends = (node: NodeProto) => node.input.some((value) => depending.has(value));
  for (const node of nodes) if (depends(node)) for (const value of node.output) depending.add(value);
  const computed = new Set(nodes.filter((node) => !depends(node)).flatMap(({ output }) => output));
  const met = new Set(nodes.filter(depends).flatMap(({ input }) => input.filter((value) => computed.has(value))));
  return met.size === 1 ? [...met][0] : undefined;
}

/** The model up to its outputs, its parameters as initializers. */
export function inferenceModel(
  model: ModelProto,
  { outputs, target }: LossInputs,
  parameters: readonly TensorProto[],
): ModelProto {
  const copy = copyModel(model);
  const graph = graphOf(copy);
  const names = new Set(parameters.map(({ name }) => name));
  graph.node = nodesUpTo(graph.node, outputs);
  graph.input = graph.input.filter(({ name }) => name !== target && !names.has(name));
  graph.output = outputs.map((output) => outputInfo(graph, output));
  graph.valueInfo = graph.valueInfo.filter(({ name }) => !outputs.includes(name));
  const used = new Set(graph.node.flatMap(({ input }) => input));
  graph.initializer = [...graph.initializer.filter(({ name }) => used.has(name)), ...parameters];
  const notes: readonly string[] = Object.values(keys);
  copy.metadataProps = copy.metadataProps.filter(({ key }) => !notes.includes(key));
  return copy;
}

/** The declaration of a value as an output, as far as its type is known. */
export function outputInfo(graph: GraphProto, output: Value): ValueInfoProto {
  const known = [...graph.output, ...graph.valueInfo].find(({ name }) => name === output);
  const type = { value: { case: 'tensorType' as const, value: { elemType: 1 } } };
  return known ?? create(ValueInfoProtoSchema, { name: output, type });
}

function nodesUpTo(nodes: readonly NodeProto[], outputs: readonly Value[]): NodeProto[] {
  const wanted = new Set(outputs);
  const kept = nodes.toReversed().filter((node) => {
    if (!node.output.some((value) => wanted.has(value))) return false;
    for (const value of node.input) wanted.add(value);
    return true;
  });
  return kept.toReversed();
}

function graphOf(model: ModelProto): GraphProto {
  if (model.graph !== undefined) return model.graph;
  throw new SecateurError('INVALID_MODEL', 'Expected a model with a graph, got none');
}
