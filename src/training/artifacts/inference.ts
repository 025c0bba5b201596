// The model inside an evaluation model: without loss and targets, with its parameters as initializers again.
import { clone, create } from '@bufbuild/protobuf';
import { SecateurError } from '../../errors.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import type { GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } from '../../onnx/schema/onnx_pb.js';
import { ModelProtoSchema, ValueInfoProtoSchema } from '../../onnx/schema/onnx_pb.js';

/** Where the loss of an evaluation model takes its values from. */
export interface LossInputs {
  readonly loss: Value;
  /** The model's output that is compared with the targets. */
  readonly output: Value;
  /** The input of labels or targets. */
  readonly target: Value;
  /** The node of the loss where it is a cross entropy of classes. */
  readonly entropy: NodeProto | undefined;
}

const METADATA = 'InferenceGraphOutputs';

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
  const noted = model.metadataProps.find(({ key }) => key === METADATA)?.value.split(',')[0];
  const output = entropy?.input[0] ?? noted ?? comparedWith(graph, target) ?? graph.output[1]?.name ?? loss;
  return { loss, output, target, entropy };
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

/** The model up to `output`, its parameters as initializers. */
export function inferenceModel(
  model: ModelProto,
  { output, target }: LossInputs,
  parameters: readonly TensorProto[],
): ModelProto {
  const copy = clone(ModelProtoSchema, model);
  const graph = graphOf(copy);
  const names = new Set(parameters.map(({ name }) => name));
  graph.node = nodesUpTo(graph.node, output);
  graph.input = graph.input.filter(({ name }) => name !== target && !names.has(name));
  graph.output = [outputInfo(graph, output)];
  const used = new Set(graph.node.flatMap(({ input }) => input));
  graph.initializer = [...graph.initializer.filter(({ name }) => used.has(name)), ...parameters];
  copy.metadataProps = copy.metadataProps.filter(({ key }) => key !== METADATA);
  return copy;
}

/** The declaration of a value as an output, as far as its type is known. */
export function outputInfo(graph: GraphProto, output: Value): ValueInfoProto {
  const known = [...graph.output, ...graph.valueInfo].find(({ name }) => name === output);
  const type = { value: { case: 'tensorType' as const, value: { elemType: 1 } } };
  return known ?? create(ValueInfoProtoSchema, { name: output, type });
}

function nodesUpTo(nodes: readonly NodeProto[], output: Value): NodeProto[] {
  const wanted = new Set([output]);
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
