// Writes a model from memory to a file, atomically. Big raw payloads go straight from their buffers to the file: only
// the rest of the model is serialised, with a short stand-in for each of them.

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { SecateurError } from '../errors.js';
import { applyEdits, bytesOf, type Edit, type Piece } from './edit.js';
import { ioError } from './file-source.js';
import { scan, type TensorRecord } from './scan.js';
import { type ModelProto, ModelProtoSchema, type TensorProto } from './schema/onnx_pb.js';
import { tensorsOf } from './tensors.js';
import { encodeFieldHead, MemorySource } from './wire.js';

/** What protobuf readers take at most. */
const MAX_MODEL_BYTES = 2 ** 31 - 1;
const MAX_WRITE_BYTES = 2 ** 28;
const STAND_IN_ABOVE_BYTES = 4096;
const NONCE_BYTES = 16;
const RAW_DATA_FIELD = 9;

/**
 * Serialises a model and writes it beside `path` under a temporary name, then renames it. An existing file is replaced
 * at once or, where anything fails, left as it was. The model is unchanged; don't change it before the promise settles.
 *
 * @throws SecateurError IO where the file cannot be written; UNSUPPORTED where the model is 2 GiB or larger.
 */
export async function writeModel(path: string, model: ModelProto): Promise<void> {
  const { bytes, pieces } = serialise(model);
  if (bytesOf(pieces) > MAX_MODEL_BYTES) {
    throw new SecateurError(
      'UNSUPPORTED',
      `Expected the model for ${path} to be smaller than 2 GiB, which is what protobuf readers take, got ${bytesOf(pieces)} bytes`,
      { path },
    );
  }
  const buffers = pieces.map((piece) =>
    'literal' in piece ? piece.literal : bytes.subarray(piece.offset, piece.offset + piece.bytes),
  );
  await writeAtomically(path, buffers);
}

/** Writes buffers one after the other to a new file beside `path`, and renames it to `path`. */
export async function writeAtomically(path: string, buffers: readonly Uint8Array[]): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.secateur-${randomBytes(4).toString('hex')}`);
  try {
    await writeNew(temporary, buffers);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw ioError('write', path, error);
  }
}

async function writeNew(path: string, buffers: readonly Uint8Array[]): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    for (const buffer of buffers) await writeWhole(handle, buffer);
  } finally {
    await handle.close();
  }
}

async function writeWhole(handle: FileHandle, buffer: Uint8Array): Promise<void> {
  for (let done = 0; done < buffer.byteLength; ) {
    const { bytesWritten } = await handle.write(buffer, done, Math.min(buffer.byteLength - done, MAX_WRITE_BYTES));
    done += bytesWritten;
  }
}

/** The model as pieces: ranges of `bytes`, and the raw payloads. */
function serialise(model: ModelProto): { bytes: Uint8Array<ArrayBuffer>; pieces: Piece[] } {
  const standIns = new StandIns(model);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = toBinary(ModelProtoSchema, model);
  } finally {
    standIns.restore();
  }
  if (standIns.payloads.length === 0) return { bytes, pieces: [{ offset: 0, bytes: bytes.byteLength }] };
  const edits = scan(new MemorySource(bytes)).records.flatMap((record) => standIns.editsOf(record, bytes));
  return { bytes, pieces: applyEdits(bytes.byteLength, edits) };
}

/** Puts a short stand-in (a nonce and a number) in the place of each big payload, for as long as `toBinary` takes. */
class StandIns {
  readonly payloads: Uint8Array[] = [];
  readonly #tensors: TensorProto[] = [];
  readonly #nonce = randomBytes(NONCE_BYTES);

  constructor(model: ModelProto) {
    for (const tensor of tensorsOf(model)) {
      if (tensor.rawData.byteLength <= STAND_IN_ABOVE_BYTES) continue;
      const standIn = new Uint8Array(NONCE_BYTES + 4);
      standIn.set(this.#nonce);
      new DataView(standIn.buffer).setUint32(NONCE_BYTES, this.payloads.length);
      this.payloads.push(tensor.rawData);
      this.#tensors.push(tensor);
      tensor.rawData = standIn;
    }
  }

  /** Gives the tensors their payloads back. Last first: a tensor that is in the model twice gets its first one. */
  restore(): void {
    for (const [index, tensor] of [...this.#tensors.entries()].reverse()) {
      tensor.rawData = this.payloads[index] ?? tensor.rawData;
    }
  }

  editsOf({ message, payloads }: TensorRecord, bytes: Uint8Array): Edit[] {
    const run = payloads.get('rawData')?.runs[0];
    if (run?.bytes !== NONCE_BYTES + 4) return [];
    const standIn = bytes.subarray(run.offset, run.offset + run.bytes);
    if (!this.#nonce.equals(standIn.subarray(0, NONCE_BYTES))) return [];
    const payload = this.payloads[new DataView(standIn.buffer, standIn.byteOffset).getUint32(NONCE_BYTES)];
    if (payload === undefined) throw new SecateurError('INTERNAL', 'Expected a payload for each stand-in, got none');
    const oldHead = encodeFieldHead(RAW_DATA_FIELD, run.bytes).byteLength;
    const head = { offset: run.offset - oldHead, bytes: oldHead };
    return [
      { message, range: head, replacement: encodeFieldHead(RAW_DATA_FIELD, payload.byteLength) },
      { message, range: run, replacement: payload },
    ];
  }
}
