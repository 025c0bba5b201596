// The version of ONNX's own operator set that a model imports.
import type { ModelProto } from './schema/onnx_pb.js';

/** Undefined where the model imports none. */
export function standardOpset({ opsetImport }: ModelProto): number | undefined {
  const found = opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx');
  return found && Number(found.version);
}

/** 1 where the model imports none. */
export function opsetOf(model: ModelProto): number {
  return standardOpset(model) ?? 1;
}
