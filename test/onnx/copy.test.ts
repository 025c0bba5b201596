// Copies of models: the same file, bytes of tensors shared, everything else apart.
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { newModel } from '../../models/index.js';
import { freeMemory } from '../../src/free-memory.js';
import { copyModel } from '../../src/onnx/copy.js';
import { type ModelProto, ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';

const bytesOf = (of: ModelProto) => Buffer.from(toBinary(ModelProtoSchema, of));
const model = newModel('resnet56', { depth: 8, seed: 1 }, (values) => values.fill(0.5));

it('copies all but the bytes of tensors', () => {
  const bytes = bytesOf(model);
  const copy = copyModel(model);
  expect(bytesOf(copy).equals(bytes)).toBe(true);
  expect(copy.graph!.initializer[0]!.rawData).toBe(model.graph!.initializer[0]!.rawData);
  copy.graph!.node[0]!.input[0] = 'other';
  copy.graph!.node[1]!.attribute.pop();
  copy.graph!.initializer[0]!.rawData = new Uint8Array(0);
  copy.metadataProps.pop();
  expect(bytesOf(model).equals(bytes)).toBe(true);
});

it('keeps what is not set as it is, and fields that it does not know', () => {
  const unknown = Buffer.concat([toBinary(ModelProtoSchema, model), Buffer.of(0xa0, 0x3f, 0x07)]); // field 1012, varint 7
  const read = fromBinary(ModelProtoSchema, unknown);
  const copy = copyModel(read);
  expect(copy.graph!.docString).toBe(read.graph!.docString);
  expect(copy.$unknown).toEqual([expect.objectContaining({ no: 1012 })]);
  expect(bytesOf(copy).equals(bytesOf(read))).toBe(true);
});

it('memory that is freed is gone', () => {
  const [array, view, shared] = [new Float32Array(4), new Uint8Array(8), new SharedArrayBuffer(4)];
  freeMemory([array.buffer, view.buffer, view.buffer, shared]);
  expect([array.length, view.length, shared.byteLength]).toEqual([0, 0, 4]);
});
