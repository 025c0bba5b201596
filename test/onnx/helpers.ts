// What the tests of this floor share: temporary folders, small models, and protobuf fields written by hand, so that
// encodings come out that no library would write.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { afterAll } from 'vitest';
import {
  type FunctionProtoSchema,
  type GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
} from '../../src/onnx/schema/onnx_pb.js';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A new folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'secateur-test-'));
  folders.push(folder);
  return folder;
}

/** A model with what every model needs. */
export function modelWith(
  graph: MessageInitShape<typeof GraphProtoSchema>,
  rest: { functions?: MessageInitShape<typeof FunctionProtoSchema>[] } = {},
): ModelProto {
  return create(ModelProtoSchema, { irVersion: 8n, opsetImport: [{ domain: '', version: 17n }], graph, ...rest });
}

/** Writes a model into a new folder and returns its path. */
export function saved(model: ModelProto | Uint8Array, folder: string = temporaryFolder()): string {
  const path = join(folder, 'model.onnx');
  writeFileSync(path, model instanceof Uint8Array ? model : toBinary(ModelProtoSchema, model));
  return path;
}

/** The raw bytes of float32 values. */
export function raw(values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** Values 1, -2, 3, -4, ... */
export function ramp(count: number): number[] {
  return Array.from({ length: count }, (_, index) => (index % 2 === 0 ? index + 1 : -index - 1));
}

export function varint(value: bigint | number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  return [...bytes, Number(rest)];
}

export function tag(number: number, wireType: number): number[] {
  return varint(number * 8 + wireType);
}

/** A length-delimited field. */
export function bytesField(number: number, body: Iterable<number>): number[] {
  const bytes = [...body];
  return [...tag(number, 2), ...varint(bytes.length), ...bytes];
}
