// Replaces nodes of a graph by others under the same names of values. The order of the graph stays topological.
import { create } from '@bufbuild/protobuf';
import type { ValueFacts } from '../../../autodiff/rule.js';
import { SecateurError } from '../../../errors.js';
import { GraphBuilder, type Value } from '../../../onnx/build/graph-builder.js';
import { copyModel } from '../../../onnx/copy.js';
import { opsetOf } from '../../../onnx/opset.js';
import { type GraphProto, type ModelProto, type NodeProto, NodeProtoSchema } from '../../../onnx/schema/onnx_pb.js';
import { type Lowered, type LoweringContext, labelOf, type Surroundings } from './lowering.js';

/** What takes a node's place: values for its outputs, or undefined to keep it. */
export type Replace = (context: LoweringContext) => Lowered | undefined;

/** A copy of the model with nodes replaced. Tensors share their bytes. */
export function rewrite(model: ModelProto, shapes: ReadonlyMap<Value, ValueFacts>, replace: Replace): ModelProto {
  const copy = copyModel(model);
  const { graph } = copy;
  if (graph === undefined) throw new SecateurError('INVALID_MODEL', 'Expected a model with a graph, got none');
  const surroundings = surroundingsOf(copy, graph, shapes);
  const nodes = graph.node;
  graph.node = [];
  for (const node of nodes) {
    const values = replace(contextOf(node, surroundings));
    if (values === undefined) graph.node.push(node);
    else graph.node.push(...aliases(node, values));
  }
  return copy;
}

function surroundingsOf(model: ModelProto, graph: GraphProto, shapes: ReadonlyMap<Value, ValueFacts>): Surroundings {
  const producers = new Map(graph.node.flatMap((node) => node.output.map((value) => [value, node] as const)));
  const names = new Map(graph.node.map((node) => [node.name, node]));
  const tensors = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const attributeTensor = (node: NodeProto | undefined) =>
    node?.opType === 'Constant' ? node.attribute.find(({ name }) => name === 'value')?.t : undefined;
  return {
    model,
    opset: opsetOf(model),
    graph: GraphBuilder.extend(graph),
    shapes,
    producer: (value) => producers.get(value),
    named: (name) => names.get(name),
    constant: (value) => tensors.get(value) ?? attributeTensor(producers.get(value)),
  };
}

function contextOf(node: NodeProto, surroundings: Surroundings): LoweringContext {
  const { graph, shapes } = surroundings;
  const name = labelOf(node);
  return {
    ...surroundings,
    node,
    input: (index) => node.input[index] ?? '',
    facts: (value) => {
      const facts = shapes.get(value);
      if (facts === undefined) throw new SecateurError('INTERNAL', `Expected the shape of ${value} to be known`);
      return facts;
    },
    emit: (opType, inputs, attributes = {}) => graph.op(opType, inputs, attributes, { name }),
    emitAll: (opType, inputs, count, attributes = {}) => graph.ops(opType, inputs, count, attributes, { name }),
  };
}

/** Gives the values the names of the node's outputs. */
function aliases(node: NodeProto, values: Lowered): NodeProto[] {
  return node.output.flatMap((name, index) => {
    const value = values[index];
    if (name === '') return [];
    if (value === undefined || value === null) {
      throw new SecateurError('INTERNAL', `Expected a value for output ${index} of ${node.opType} (${labelOf(node)})`);
    }
    return [create(NodeProtoSchema, { opType: 'Identity', name: `${name}/alias`, input: [value], output: [name] })];
  });
}
