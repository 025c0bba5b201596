// writeModel: what it writes decodes to the model it was given, wherever the big payloads are.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, equals, fromBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  TensorProtoSchema,
} from '../../src/onnx/schema/onnx_pb.js';
import { writeModel } from '../../src/onnx/write.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'secateur-write-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function modelWithPayloads(sizes: readonly number[]): ModelProto {
  const tensor = (bytes: number, index: number) =>
    create(TensorProtoSchema, {
      name: `w${index}`,
      dims: [BigInt(bytes)],
      dataType: 2,
      rawData: Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + index) % 251),
    });
  const inner = create(GraphProtoSchema, { name: 'inner', initializer: [tensor(5000, 90), tensor(300_000, 91)] });
  const attribute = { name: 'then_branch', type: 5, g: inner };
  const graph = { name: 'outer', initializer: sizes.map(tensor), node: [{ opType: 'If', attribute: [attribute] }] };
  return create(ModelProtoSchema, { irVersion: 8n, graph });
}

test.each([[[]], [[0, 1, 4096, 4097]], [[4097, 100_000, 20, 3_000_000]]])('payloads of %j bytes', async (sizes) => {
  const model = modelWithPayloads(sizes);
  const path = join(folder, 'm.onnx');
  await writeModel(path, model);
  expect(equals(ModelProtoSchema, fromBinary(ModelProtoSchema, readFileSync(path)), modelWithPayloads(sizes))).toBe(
    true,
  );
  expect(equals(ModelProtoSchema, model, modelWithPayloads(sizes))).toBe(true);
  expect(readdirSync(folder)).toEqual(['m.onnx']);
});

test('a tensor that is in the model twice is written twice', async () => {
  const model = modelWithPayloads([5000]);
  const tensor = model.graph?.initializer[0];
  if (model.graph && tensor) model.graph.initializer.push(tensor);
  const path = join(folder, 'm.onnx');
  await writeModel(path, model);
  expect(equals(ModelProtoSchema, fromBinary(ModelProtoSchema, readFileSync(path)), model)).toBe(true);
});

test('a failure leaves the old file and no other', async () => {
  const path = join(folder, 'file');
  writeFileSync(path, 'old');
  await expect(writeModel(join(path, 'm.onnx'), modelWithPayloads([10]))).rejects.toMatchObject({
    code: 'IO',
    fields: { errno: 'ENOTDIR' },
  });
  expect(readFileSync(path, 'utf8')).toBe('old');
  expect(readdirSync(folder)).toEqual(['file']);
});
