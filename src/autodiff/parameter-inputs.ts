// Parameters as inputs instead of initializers, so that a graph sees every change of them without being built anew.
import { clone } from '@bufbuild/protobuf';
import type { Value } from '../onnx/build/graph-builder.js';
import { valueInfo } from '../onnx/build/tensors.js';
import { type GraphProto, type ModelProto, ModelProtoSchema } from '../onnx/schema/onnx_pb.js';
import type { ValueFacts } from './rule.js';

/** Makes inputs of initializers, in place, in the order of the initializers. */
export function moveToInputs(
  graph: GraphProto,
  parameters: ReadonlySet<Value>,
  shapes: ReadonlyMap<Value, ValueFacts>,
): void {
  const inputs = new Set(graph.input.map(({ name }) => name));
  for (const { name } of graph.initializer) {
    const facts = shapes.get(name);
    if (parameters.has(name) && !inputs.has(name) && facts) graph.input.push(valueInfo(name, facts.dtype, facts.shape));
  }
  graph.initializer = graph.initializer.filter(({ name }) => !parameters.has(name));
}

/** A copy of the model that takes the initializers `names` as inputs. */
export function parametersAsInputs(
  model: ModelProto,
  names: readonly Value[],
  shapes: ReadonlyMap<Value, ValueFacts>,
): ModelProto {
  const copy = clone(ModelProtoSchema, model);
  if (copy.graph !== undefined) moveToInputs(copy.graph, new Set(names), shapes);
  return copy;
}
