// A regular file as a source of bytes, and the one translation of the operating system's refusals into our errors.
// Reads are synchronous: a scan makes few and small ones, and a cursor that awaited each byte would be slow.

import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { SecateurError } from '../errors.js';
import { type ByteSource, malformed } from './wire.js';

/** `EACCES` and the like, if the error is the operating system's. */
function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

const reasons: Record<string, string> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of its path is not a folder',
  EACCES: 'permission is denied',
  EPERM: 'the operation is not permitted',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a folder',
  ELOOP: 'its symbolic links go in circles',
  EMFILE: 'too many files are open',
  ENAMETOOLONG: 'its name is too long',
};

/** An IO error about a path. `action` completes "could not". */
export function ioError(action: string, path: string, cause: unknown): SecateurError {
  if (cause instanceof SecateurError) return cause;
  const errno = errnoOf(cause);
  const reason = (errno && reasons[errno]) ?? (cause instanceof Error ? cause.message : String(cause));
  const fields = { path, cause, ...(errno !== undefined && { errno }) };
  return new SecateurError('IO', `Could not ${action} ${path}: ${reason}${errno ? ` (${errno})` : ''}`, fields);
}

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
