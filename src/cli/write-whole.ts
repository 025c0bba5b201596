// Writes a file so that its name only ever shows a complete one: to a temporary name in the same folder, then renamed.
import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { SecateurError } from '../errors.js';

const CHUNK_BYTES = 2 ** 24;

/** @throws SecateurError IO (the system refused) or ABORTED; the target is then as it was before. */
export async function writeWhole(target: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  const name = `.${path.basename(target)}.secateur-${randomBytes(4).toString('hex')}`;
  const temporary = path.join(path.dirname(target), name);
  try {
    await writeChunks(temporary, bytes, signal);
    await rename(temporary, target);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw explain(cause, target);
  }
}

async function writeChunks(file: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  const handle = await open(file, 'wx');
  try {
    for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
      if (signal.aborted) throw new SecateurError('ABORTED', 'Interrupted while writing', { path: file });
      await handle.writeFile(bytes.subarray(start, start + CHUNK_BYTES));
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function explain(cause: unknown, target: string): unknown {
  if (!(cause instanceof Error) || !('code' in cause) || cause instanceof SecateurError) return cause;
  const errno = String(cause.code);
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'its folder does not exist',
    ENOTDIR: 'its folder is a file',
    EISDIR: 'it is a folder',
    EACCES: 'access is denied',
    EPERM: 'the system does not permit it',
    EROFS: 'the file system is read-only',
    ENOSPC: 'the disk is full',
  };
  const reason = reasons[errno] ?? cause.message;
  return new SecateurError('IO', `Expected to write ${target}, but ${reason} (${errno})`, {
    path: target,
    errno,
    cause,
  });
}
