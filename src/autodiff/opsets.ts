// The operator sets that a model imports.
import { create } from '@bufbuild/protobuf';
import { type ModelProto, OperatorSetIdProtoSchema } from '../onnx/schema/onnx_pb.js';

/** The domain of ONNX Runtime's own operators, most of which the stock CPU build has. */
export const contrib = 'com.microsoft';

/** Version of ai.onnx, 1 where the model imports none. */
export function opsetOf(model: ModelProto): number {
  return Number(model.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 1n);
}

/** Makes the model import com.microsoft, whose only version is 1. */
export function importContrib(model: ModelProto): void {
  if (model.opsetImport.some(({ domain }) => domain === contrib)) return;
  model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: contrib, version: 1n }));
}
