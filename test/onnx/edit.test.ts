// Edits of bytes against the same edits of the decoded model.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applyEdits, bytesOf, type Edit, type Piece } from '../../src/onnx/edit.js';
import { loadFrom } from '../../src/onnx/load.js';
import type { TensorRecord } from '../../src/onnx/scan.js';
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
} from '../../src/onnx/schema/onnx_pb.js';
import { tensorsOf } from '../../src/onnx/tensors.js';
import { encodeBytesField, MemorySource } from '../../src/onnx/wire.js';
import { modelBytes } from './arbitrary.js';

function joined(bytes: Uint8Array, pieces: readonly Piece[]): Uint8Array {
  return Buffer.concat(
    pieces.map((piece) =>
      'literal' in piece ? piece.literal : bytes.subarray(piece.offset, piece.offset + piece.bytes),
    ),
  );
}

const entryField = (key: string, value: string) =>
  encodeBytesField(13, toBinary(StringStringEntryProtoSchema, create(StringStringEntryProtoSchema, { key, value })));

/** What to do with each tensor: drop its first entry, replace it by a long one, append entries. */
const plans = fc.array(
  fc.record({ first: fc.constantFrom('keep', 'drop', 'replace'), length: fc.nat(300), append: fc.nat(2) }),
  { minLength: 12, maxLength: 12 },
);

interface Step {
  first: string;
  length: number;
  append: number;
}

/** Edits of one tensor's entries in the file; `mirror` gets the same. */
function editsOf(record: TensorRecord | undefined, mirror: TensorProto | undefined, step: Step | undefined): Edit[] {
  if (!record || !mirror || !step) throw new Error('a tensor without a record');
  const { message, externalEntries } = record;
  const value = 'x'.repeat(step.length);
  const edits: Edit[] = [];
  const range = externalEntries[0]?.field;
  if (step.first === 'drop' && range) {
    edits.push({ message, range, replacement: new Uint8Array(0) });
    mirror.externalData.shift();
  } else if (step.first === 'replace' && range) {
    edits.push({ message, range, replacement: entryField('k', value) });
    mirror.externalData[0] = create(StringStringEntryProtoSchema, { key: 'k', value });
  }
  for (let count = 0; count < step.append; count++) {
    const end = { offset: message.end, bytes: 0 };
    edits.push({ message, range: end, replacement: entryField(`k${count}`, value) });
    mirror.externalData.push(create(StringStringEntryProtoSchema, { key: `k${count}`, value }));
  }
  return edits;
}

const encoded = (model: ModelProto) => Buffer.from(toBinary(ModelProtoSchema, model)).toString('hex');

test('edited bytes decode to the edited model', () => {
  fc.assert(
    fc.property(modelBytes, plans, (bytes, plan) => {
      const loaded = loadFrom(new MemorySource(bytes));
      const expected = fromBinary(ModelProtoSchema, bytes);
      const mirror = [...tensorsOf(expected)];
      const edits = [...tensorsOf(loaded.model)].flatMap((tensor, index) =>
        editsOf(loaded.recordOf(tensor), mirror[index], plan[index % plan.length]),
      );
      const pieces = applyEdits(bytes.byteLength, edits);
      const edited = joined(bytes, pieces);
      expect(bytesOf(pieces)).toBe(edited.byteLength);
      expect(encoded(fromBinary(ModelProtoSchema, edited))).toBe(encoded(expected));
    }),
    { numRuns: 60 },
  );
});

test('no edits give the file as it is', () => {
  expect(applyEdits(10, [])).toEqual([{ offset: 0, bytes: 10 }]);
  expect(applyEdits(0, [])).toEqual([]);
});

test('edits that overlap are refused', () => {
  const message = { parent: undefined, lengthAt: 0, lengthBytes: 1, start: 1, end: 9 };
  const edit = (offset: number) => ({ message, range: { offset, bytes: 3 }, replacement: new Uint8Array(3) });
  expect(() => applyEdits(9, [edit(2), edit(4)])).toThrowError(/overlapping/);
});
