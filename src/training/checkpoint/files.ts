// Checkpoints as files: `<path>`, and `<path>.data` where the tensors are too large for it.

import { readFile, stat } from 'node:fs/promises';
import { SecateurError } from '../../errors.js';
import { ioError } from '../../io-error.js';
import { FileSource } from '../../onnx/file-source.js';
import { writeAtomically } from '../../onnx/write.js';
import { decodeCheckpoint } from './decode.js';
import { encodeCheckpoint } from './encode.js';
import type { Checkpoint } from './types.js';

/** The file of external data beside a checkpoint. */
export const externalPath = (path: string): string => `${path}.data`;

/**
 * Reads a checkpoint of version 1 or 2 with its external data.
 *
 * @throws SecateurError IO; INVALID_DATA where it is damaged; EXTERNAL_DATA where its data file is missing or too short;
 *   UNSUPPORTED for other versions and for the folders that ONNX Runtime before 1.15 wrote.
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  let external: FileSource | undefined;
  let bytesRead = 0;
  try {
    const bytes = await readWhole(path);
    return decodeCheckpoint(bytes, path, (offset, length, tensor) => {
      external ??= openExternal(path);
      // Tensors do not overlap, so that together they are no larger than the file.
      bytesRead += length;
      const end = Math.max(offset + length, bytesRead);
      if (end > external.size) throw tooShort(external, end, tensor);
      const data = new Uint8Array(length);
      external.readInto(data, offset);
      return data;
    });
  } finally {
    external?.close();
  }
}

/**
 * Writes a checkpoint of version 2, each file at once under a temporary name: a failure leaves what was there. Tensors of
 * more than `externalAbove` bytes in all go to `<path>.data`, which is written first.
 *
 * @throws SecateurError IO
 */
export async function writeCheckpoint(path: string, checkpoint: Checkpoint, externalAbove?: number): Promise<void> {
  const { bytes, external } = encodeCheckpoint(checkpoint, externalAbove);
  if (external.length > 0) await writeAtomically(externalPath(path), external);
  await writeAtomically(path, [bytes]);
}

async function readWhole(path: string): Promise<Uint8Array> {
  try {
    if ((await stat(path)).isDirectory()) {
      const message = `Expected ${path} to be a checkpoint file, got a folder: ONNX Runtime before 1.15 wrote those`;
      throw new SecateurError('UNSUPPORTED', message, { path });
    }
    const buffer = await readFile(path);
    // A plain array: `slice` of a Buffer makes a view where that of an array makes a copy.
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  } catch (error) {
    throw ioError('read', path, error);
  }
}

function openExternal(path: string): FileSource {
  try {
    return new FileSource(externalPath(path));
  } catch (error) {
    throw missingExternal(path, error);
  }
}

function missingExternal(path: string, cause: unknown): SecateurError {
  const message = `Expected the data of ${path} in ${externalPath(path)}, but it cannot be read`;
  return new SecateurError('EXTERNAL_DATA', message, { path: externalPath(path), cause });
}

function tooShort(source: FileSource, wanted: number, tensor: string): SecateurError {
  const message = `Expected ${source.path} to have at least ${wanted} bytes for ${tensor}, got ${source.size}`;
  return new SecateurError('EXTERNAL_DATA', message, { path: source.path, tensor });
}
