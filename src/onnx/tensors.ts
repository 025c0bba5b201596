// Finds every tensor of a model in memory: initializers, node attributes, subgraphs, functions, sparse tensors,
// training graphs. The order is that of the fields; it promises nothing else.

import type {
  AttributeProto,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  SparseTensorProto,
  TensorProto,
} from './schema/onnx_pb.js';

/** Every TensorProto anywhere in a model, each once. */
export function* tensorsOf(model: ModelProto): Generator<TensorProto> {
  if (model.graph !== undefined) yield* inGraph(model.graph);
  for (const { initialization, algorithm } of model.trainingInfo) {
    if (initialization !== undefined) yield* inGraph(initialization);
    if (algorithm !== undefined) yield* inGraph(algorithm);
  }
  for (const definition of model.functions) yield* inFunction(definition);
}

function* inFunction(definition: FunctionProto): Generator<TensorProto> {
  for (const attribute of definition.attributeProto) yield* inAttribute(attribute);
  for (const node of definition.node) yield* inNode(node);
}

function* inGraph(graph: GraphProto): Generator<TensorProto> {
  for (const node of graph.node) yield* inNode(node);
  yield* graph.initializer;
  for (const sparse of graph.sparseInitializer) yield* inSparse(sparse);
}

function* inNode(node: NodeProto): Generator<TensorProto> {
  for (const attribute of node.attribute) yield* inAttribute(attribute);
}

function* inAttribute(attribute: AttributeProto): Generator<TensorProto> {
  if (attribute.t !== undefined) yield attribute.t;
  yield* attribute.tensors;
  if (attribute.g !== undefined) yield* inGraph(attribute.g);
  for (const graph of attribute.graphs) yield* inGraph(graph);
  if (attribute.sparseTensor !== undefined) yield* inSparse(attribute.sparseTensor);
  for (const sparse of attribute.sparseTensors) yield* inSparse(sparse);
}

function* inSparse({ values, indices }: SparseTensorProto): Generator<TensorProto> {
  if (values !== undefined) yield values;
  if (indices !== undefined) yield indices;
}
