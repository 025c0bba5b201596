// Memory for a tensor whose size a file says.
import { SecateurError } from '../errors.js';

/**
 * Zeros.
 *
 * @throws SecateurError UNSUPPORTED where no array can have so many bytes.
 */
export function allocate(bytes: number, tensor: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    throw tooLarge(bytes, tensor, error);
  }
}

function tooLarge(bytes: number, tensor: string, cause: unknown): SecateurError {
  const what = `Expected tensor ${tensor} to fit into memory, got ${bytes} bytes`;
  return new SecateurError('UNSUPPORTED', what, { tensor, cause });
}
