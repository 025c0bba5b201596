// Files of data, whole in memory, gzip taken off where it is on. Reading and inflating run on Node's thread pool.

import { readdir, readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { ioError } from '../io-error.js';
import { invalidData } from './dataset.js';

const inflate = promisify(gunzip);

/** No data set that is read whole is larger; a bomb of gzip stops here. */
const MAX_INFLATED_BYTES = 2 ** 31 - 1;

/**
 * The bytes of a file. What begins as gzip does is inflated, whatever the file is called.
 *
 * @throws SecateurError IO where it cannot be read; INVALID_DATA where the gzip stream is damaged or cut short.
 */
export async function readData(path: string): Promise<Uint8Array> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw ioError('read', path, error);
  });
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return asBytes(bytes);
  try {
    return asBytes(await inflate(bytes, { maxOutputLength: MAX_INFLATED_BYTES }));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw invalidData(path, 'a whole gzip file', `it is damaged or cut short (${why})`, error);
  }
}

/** A Buffer as a plain array: `slice` of a Buffer makes a view where that of an array makes a copy. */
function asBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** The names in a folder, sorted; `undefined` where the path is a file. */
export async function namesIn(path: string): Promise<string[] | undefined> {
  try {
    if (!(await stat(path)).isDirectory()) return undefined;
    return (await readdir(path)).sort();
  } catch (error) {
    throw ioError('open', path, error);
  }
}
