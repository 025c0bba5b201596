// What a graph says of its inputs: parameters as inputs instead of initializers, so that it sees every change of them
// without being built anew, and the sizes that its gradients were made for.

import type { Value } from '../onnx/build/graph-builder.js';
import { type Dimension, valueInfo } from '../onnx/build/tensors.js';
import { copyModel } from '../onnx/copy.js';
import type { GraphProto, ModelProto } from '../onnx/schema/onnx_pb.js';
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

/**
 * Declares the inputs' sizes on all axes but the first, in place: rules know them from one run, and the runtime then
 * refuses other sizes, instead of computing gradients that are wrong.
 */
export function declareSizes(graph: GraphProto, shapes: ReadonlyMap<Value, ValueFacts>): void {
  graph.input = graph.input.map((input) => {
    const facts = shapes.get(input.name);
    if (facts === undefined || facts.shape.length === 0) return input;
    const declared = input.type?.value.case === 'tensorType' ? input.type.value.value.shape?.dim[0]?.value : undefined;
    const batch: Dimension =
      declared?.case === 'dimValue' ? Number(declared.value) : declared?.value || `${input.name}.0`;
    return valueInfo(input.name, facts.dtype, [batch, ...facts.shape.slice(1)]);
  });
}

/** A copy of the model that takes the initializers `names` as inputs. */
export function parametersAsInputs(
  model: ModelProto,
  names: readonly Value[],
  shapes: ReadonlyMap<Value, ValueFacts>,
): ModelProto {
  const copy = copyModel(model);
  if (copy.graph !== undefined) moveToInputs(copy.graph, new Set(names), shapes);
  return copy;
}
