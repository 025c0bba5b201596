// A regular file as a source of bytes.
// Reads are synchronous: a scan makes few and small ones, and a cursor that awaited each byte would be slow.

import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { SecateurError } from '../errors.js';
import { ioError } from '../io-error.js';
import { type ByteSource, malformed } from './wire.js';

export { ioError };

/** An open regular file. `close` it. */
export class FileSource implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly #descriptor: number;

  /**
   * @throws SecateurError IO where the file cannot be opened; INVALID_MODEL where it is not a regular file.
   */
  constructor(path: string) {
    this.path = path;
    try {
      // Opening a pipe would wait for its writer.
      if (!statSync(path).isFile()) throw malformed(path, 'it is not a regular file');
      this.#descriptor = openSync(path, 'r');
      this.size = fstatSync(this.#descriptor).size;
    } catch (error) {
      throw ioError('open', path, error);
    }
  }

  readInto(target: Uint8Array, offset: number): void {
    let done = 0;
    while (done < target.byteLength) {
      const bytes = this.#read(target, done, offset + done);
      if (bytes === 0) {
        throw new SecateurError(
          'FILE_CHANGED',
          `Expected ${this.path} to stay as it is, but it shrank while it was read`,
          {
            path: this.path,
          },
        );
      }
      done += bytes;
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #read(target: Uint8Array, from: number, position: number): number {
    const length = Math.min(target.byteLength - from, 2 ** 30);
    try {
      return readSync(this.#descriptor, target, from, length, position);
    } catch (error) {
      throw ioError('read', this.path, error);
    }
  }
}
