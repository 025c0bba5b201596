// The scanner against the decoder of @bufbuild/protobuf: the same model, and payloads where it says they are.
import { truncateSync } from 'node:fs';
import { clone, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { elementType } from '../../src/onnx/dtypes.js';
import { loadFrom, readModel } from '../../src/onnx/load.js';
import { materialize, readTensor } from '../../src/onnx/payload.js';
import type { TensorRecord } from '../../src/onnx/scan.js';
import {
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from '../../src/onnx/schema/onnx_pb.js';
import type { PayloadField } from '../../src/onnx/tensor-fields.js';
import { tensorsOf } from '../../src/onnx/tensors.js';
import { MemorySource } from '../../src/onnx/wire.js';
import { modelBytes } from './arbitrary.js';
import { bytesField, modelWith, ramp, raw, saved, tag, varint } from './helpers.js';

/** A tensor's elements as raw bytes, from the fields of a full decode. */
function rawOf(tensor: TensorProto): Uint8Array {
  if (tensor.rawData.length > 0) return tensor.rawData;
  const integers = [...tensor.int32Data, ...tensor.int64Data, ...tensor.uint64Data].map(BigInt);
  switch (elementType(tensor.dataType).name) {
    case 'float32':
      return new Uint8Array(Float32Array.from(tensor.floatData).buffer);
    case 'float64':
      return new Uint8Array(Float64Array.from(tensor.doubleData).buffer);
    case 'float16':
      return new Uint8Array(Uint16Array.from(integers, Number).buffer);
    case 'int32':
      return new Uint8Array(Int32Array.from(integers, Number).buffer);
    case 'uint32':
      return new Uint8Array(Uint32Array.from(integers, Number).buffer);
    case 'int8':
      return new Uint8Array(Int8Array.from(integers, Number).buffer);
    default:
      return new Uint8Array(BigInt64Array.from(integers).buffer);
  }
}

/** Bytes that are equal for equal models, unknown fields included. */
function encoded(model: ModelProto): string {
  return Buffer.from(toBinary(ModelProtoSchema, model)).toString('hex');
}

/** The model with all payloads in `rawData`. */
function allRaw(model: ModelProto): ModelProto {
  const copy = clone(ModelProtoSchema, model);
  for (const tensor of tensorsOf(copy)) {
    const bytes = rawOf(tensor);
    Object.assign(tensor, { floatData: [], int32Data: [], int64Data: [], doubleData: [], uint64Data: [] });
    tensor.externalData = [];
    tensor.rawData = bytes;
  }
  return copy;
}

/** The payloads in the file are those of a decode of the tensor's own bytes. */
function checkRecord(bytes: Uint8Array, tensor: TensorProto, record: TensorRecord | undefined): void {
  if (record === undefined) throw new Error('a tensor without a record');
  const full = fromBinary(TensorProtoSchema, bytes.subarray(record.message.start, record.message.end));
  const written = (name: PayloadField) =>
    record.payloads.get(name)?.runs.flatMap((run) => [...bytes.subarray(run.offset, run.offset + run.bytes)]) ?? [];
  expect(written('floatData')).toEqual([...raw(full.floatData)]);
  expect(written('rawData')).toEqual([...full.rawData]);
  expect(written('int32Data')).toEqual(full.int32Data.flatMap((value) => varint(value)));
  expect(written('int64Data')).toEqual(full.int64Data.flatMap((value) => varint(value)));
  expect(record.externalEntries).toHaveLength(tensor.externalData.length);
}

describe('random models', () => {
  test('load and materialise to what a full decode gives', () => {
    fc.assert(
      fc.property(modelBytes, (bytes) => {
        const loaded = readModel(saved(bytes));
        const full = fromBinary(ModelProtoSchema, bytes);
        const expected = [...tensorsOf(full)].map(rawOf);
        const actual = [...tensorsOf(loaded.model)].map((tensor) => readTensor(loaded, tensor));
        expect(actual.map((some) => Buffer.from(some).toString('hex'))).toEqual(
          expected.map((some) => Buffer.from(some).toString('hex')),
        );
        materialize(loaded);
        expect(encoded(loaded.model)).toBe(encoded(allRaw(full)));
      }),
      { numRuns: 60 },
    );
  });

  test('have their payloads where the records say', () => {
    fc.assert(
      fc.property(modelBytes, (bytes) => {
        const loaded = loadFrom(new MemorySource(bytes));
        for (const tensor of tensorsOf(loaded.model)) checkRecord(bytes, tensor, loaded.recordOf(tensor));
      }),
      { numRuns: 60 },
    );
  });
});

test('big payloads are not in the graph, small ones are', () => {
  const initializer = [
    { name: 'small', dims: [256n], dataType: 1, rawData: raw(ramp(256)) },
    { name: 'big', dims: [257n], dataType: 1, rawData: raw(ramp(257)) },
    { name: 'typed', dims: [400n], dataType: 1, floatData: ramp(400) },
  ];
  const { model } = loadFrom(new MemorySource(toBinary(ModelProtoSchema, modelWith({ initializer }))));
  const [small, big, floats] = model.graph?.initializer ?? [];
  expect(small?.rawData).toEqual(raw(ramp(256)));
  expect(big?.rawData).toHaveLength(0);
  expect(floats?.floatData).toEqual([]);
  expect(small?.$unknown).toBeUndefined();
});

test('a field that is like our marker survives', () => {
  const foreign = bytesField(
    536_870_911,
    Array.from({ length: 16 }, (_, index) => index),
  );
  const tensor = [...bytesField(8, [0x61]), ...tag(2, 0), 1, ...foreign];
  const bytes = Uint8Array.from([...tag(1, 0), 8, ...bytesField(7, bytesField(5, tensor))]);
  const loaded = loadFrom(new MemorySource(bytes));
  expect(toBinary(ModelProtoSchema, loaded.model)).toEqual(
    toBinary(ModelProtoSchema, fromBinary(ModelProtoSchema, bytes)),
  );
  expect(loaded.recordOf(loaded.model.graph?.initializer[0] as TensorProto)).toBeDefined();
});

test('a tensor in two messages that merge has no record', () => {
  const half = (name: number) => bytesField(5, bytesField(8, [name]));
  const attribute = [...half(0x61), ...half(0x62)];
  const bytes = Uint8Array.from([...tag(1, 0), 8, ...bytesField(7, bytesField(1, bytesField(5, attribute)))]);
  const loaded = loadFrom(new MemorySource(bytes));
  const tensor = loaded.model.graph?.node[0]?.attribute[0]?.t;
  expect(tensor?.name).toBe('b');
  expect(loaded.recordOf(tensor as TensorProto)).toBeUndefined();
});

test('a tensor over 2 GiB inside the protobuf', () => {
  const size = 3 * 2 ** 30;
  const head = (number: number, bytes: number) => [...tag(number, 2), ...varint(bytes)];
  const fields = [...bytesField(8, [0x77]), ...tag(2, 0), 1, ...tag(1, 0), ...varint(size / 4)];
  const rawHead = head(9, size);
  const tensorHead = head(5, fields.length + rawHead.length + size);
  const graphBytes = tensorHead.length + fields.length + rawHead.length + size;
  const before = [...tag(1, 0), 8, ...head(7, graphBytes), ...tensorHead, ...fields, ...rawHead];
  const path = saved(Uint8Array.from(before));
  // A file with a hole: it takes no room on the disk.
  truncateSync(path, before.length + size);
  const loaded = readModel(path);
  const [tensor] = loaded.model.graph?.initializer ?? [];
  if (tensor === undefined) throw new Error('no tensor');
  expect(loaded.recordOf(tensor)?.payloads.get('rawData')).toEqual({
    runs: [{ offset: before.length, bytes: size }],
    bytes: size,
    scattered: false,
    elided: true,
  });
  truncateSync(path, before.length + size - 1);
  expect(() => readModel(path)).toThrowError(/truncated or damaged/);
});
