// The one translation of the operating system's refusals into our errors.
import { SecateurError } from './errors.js';

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
