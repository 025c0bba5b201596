// The operator sets of ONNX Runtime that a model imports.
import { create } from '@bufbuild/protobuf';
import { type ModelProto, OperatorSetIdProtoSchema } from '../onnx/schema/onnx_pb.js';

/** The domain of ONNX Runtime's own operators, most of which the stock CPU build has. */
export const contrib = 'com.microsoft';

/** The domain of its operators on blocks of channels (blocked-layout.ts). */
export const blocked = 'com.microsoft.nchwc';

/** Makes the model import a domain of ONNX Runtime; each has one version, 1. */
export function importDomain(model: ModelProto, domain: typeof contrib | typeof blocked): void {
  if (model.opsetImport.some((set) => set.domain === domain)) return;
  model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain, version: 1n }));
}
