// Copies of models that are made to change the graph. Weights are not copied: protobuf's own `clone` does, and a model that
// is made ready to train is copied ten times on its way.
import type { ModelProto } from './schema/onnx_pb.js';

/** A copy of a model. Bytes of tensors are those of the original: give a tensor new ones, but do not change them. */
export function copyModel(model: ModelProto): ModelProto {
  return copied(model);
}

function copied<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(copied) as T;
  // The prototype of a message has the defaults of the fields that are not set.
  const copy = Object.create(Object.getPrototypeOf(value)) as T;
  for (const key of Object.keys(value) as (keyof T)[]) copy[key] = copied(value[key]);
  return copy;
}
