// Writes a model to a file, atomically. Big raw payloads go straight from their buffers to the file, or come only when
// their turn is there: just the rest of the model is serialised, with a short stand-in for each of them.

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { SecateurError } from '../errors.js';
import { applyEdits, bytesOf, type Edit, type Sized } from './edit.js';
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

/** Bytes that are made when they are written, so that one tensor at a time is in memory. */
export interface LazyBytes extends Sized {
  /** Exactly `byteLength` bytes. */
  read(): Uint8Array;
}

/** What a file is made of, in order. */
export type Chunk = Uint8Array | LazyBytes;

/**
 * Serialises a model and writes it beside `path` under a temporary name, then renames it. An existing file is replaced
 * at once or, where anything fails, left as it was. The model is unchanged; don't change it before the promise settles.
 *
 * @throws SecateurError IO where the file cannot be written; UNSUPPORTED where the model is 2 GiB or larger.
 */
export async function writeModel(path: string, model: ModelProto): Promise<void> {
  await writeAtomically(path, serialise(path, model));
}

/** Writes buffers one after the other to a new file beside `path`, and renames it to `path`. */
export async function writeAtomically(path: string, chunks: readonly Chunk[]): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.secateur-${randomBytes(4).toString('hex')}`);
  try {
    await writeNew(temporary, chunks);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw ioError('write', path, error);
  }
}

/** Writes chunks one after the other to a file that must not be there yet. */
export async function writeNew(path: string, chunks: readonly Chunk[], signal?: AbortSignal): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    for (const chunk of chunks) {
      if (signal?.aborted === true)
        throw new SecateurError('ABORTED', 'The call was aborted', { cause: signal.reason });
      await writeWhole(handle, chunk instanceof Uint8Array ? chunk : chunk.read());
    }
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

/**
 * The bytes of a model, in order.
 *
 * @param path names the output in the error.
 * @param lazy the raw data of tensors whose bytes are not in memory.
 * @throws SecateurError UNSUPPORTED where the model is 2 GiB or larger.
 */
export function serialise(
  path: string,
  model: ModelProto,
  lazy: ReadonlyMap<TensorProto, LazyBytes> = new Map(),
): Chunk[] {
  const standIns = new StandIns(model, lazy);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = toBinary(ModelProtoSchema, model);
  } finally {
    standIns.restore();
  }
  const records = standIns.payloads.length === 0 ? [] : scan(new MemorySource(bytes)).records;
  const pieces = applyEdits<LazyBytes>(
    bytes.byteLength,
    records.flatMap((record) => standIns.editsOf(record, bytes)),
  );
  refuseTooLarge(path, bytesOf(pieces));
  return pieces.map((piece) =>
    'literal' in piece ? piece.literal : bytes.subarray(piece.offset, piece.offset + piece.bytes),
  );
}

function refuseTooLarge(path: string, bytes: number): void {
  if (bytes <= MAX_MODEL_BYTES) return;
  throw new SecateurError(
    'UNSUPPORTED',
    `Expected the model for ${path} to be smaller than 2 GiB, which is what protobuf readers take, got ${bytes} bytes`,
    { path },
  );
}

/** Puts a short stand-in (a nonce and a number) in the place of each big payload, for as long as `toBinary` takes. */
class StandIns {
  readonly payloads: Chunk[] = [];
  readonly #tensors: { tensor: TensorProto; before: Uint8Array }[] = [];
  readonly #nonce = randomBytes(NONCE_BYTES);

  constructor(model: ModelProto, lazy: ReadonlyMap<TensorProto, LazyBytes>) {
    for (const tensor of tensorsOf(model)) {
      const payload = lazy.get(tensor) ?? tensor.rawData;
      if (payload.byteLength <= STAND_IN_ABOVE_BYTES && payload instanceof Uint8Array) continue;
      const standIn = new Uint8Array(NONCE_BYTES + 4);
      standIn.set(this.#nonce);
      new DataView(standIn.buffer).setUint32(NONCE_BYTES, this.payloads.length);
      this.payloads.push(payload);
      this.#tensors.push({ tensor, before: tensor.rawData });
      tensor.rawData = standIn;
    }
  }

  /** Gives the tensors their payloads back. Last first: a tensor that is in the model twice gets its first one. */
  restore(): void {
    for (const { tensor, before } of this.#tensors.toReversed()) tensor.rawData = before;
  }

  editsOf({ message, payloads }: TensorRecord, bytes: Uint8Array): Edit<Chunk>[] {
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
