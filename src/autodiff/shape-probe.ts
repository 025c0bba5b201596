// Learns the shapes of all values by running the model once: this file makes the model to run and reads its answers;
// the caller runs it, since only the training floor knows a runtime.
import { create } from '@bufbuild/protobuf';
import type { Value } from '../onnx/build/graph-builder.js';
import type { ElementType } from '../onnx/build/tensors.js';
import { copyModel } from '../onnx/copy.js';
import { type ModelProto, ValueInfoProtoSchema } from '../onnx/schema/onnx_pb.js';
import type { ValueFacts } from './rule.js';

/** A copy of the model in which every value that a node computes is an output. Tensors share their bytes. */
export function shapeProbe(model: ModelProto): ModelProto {
  const probe = copyModel(model);
  const { graph } = probe;
  if (graph === undefined) return probe;
  const known = new Set(graph.output.map(({ name }) => name));
  for (const name of graph.node.flatMap((node) => node.output)) {
    if (name !== '' && !known.has(name)) graph.output.push(create(ValueInfoProtoSchema, { name }));
  }
  return probe;
}

/** What a runtime says of a tensor: dtype by ONNX Runtime's name, such as `float32`. */
export interface RunTensor {
  readonly dims: readonly number[];
  readonly type: string;
}

const elementTypes: Readonly<Record<string, ElementType>> = {
  float32: 'float32',
  float64: 'float64',
  float16: 'float16',
  int64: 'int64',
  int32: 'int32',
  uint8: 'uint8',
  bool: 'bool',
};

// TensorProto.DataType of the types that a parameter can have here.
const initializerTypes: Readonly<Record<number, ElementType>> = {
  1: 'float32',
  2: 'uint8',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
};

/** The facts of initializers, and of inputs and outputs of one run of the probe. */
export function shapesOf(model: ModelProto, run: Readonly<Record<string, RunTensor>>): ReadonlyMap<Value, ValueFacts> {
  const shapes = new Map<Value, ValueFacts>();
  for (const tensor of model.graph?.initializer ?? []) {
    const dtype = initializerTypes[tensor.dataType];
    if (dtype !== undefined) shapes.set(tensor.name, { shape: tensor.dims.map(Number), dtype });
  }
  for (const [name, { dims, type }] of Object.entries(run)) {
    const dtype = elementTypes[type];
    if (dtype !== undefined) shapes.set(name, { shape: dims, dtype });
  }
  return shapes;
}
