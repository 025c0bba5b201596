// The addon as the rest of the package uses it: loaded on first use, with failures as SecateurErrors.
import { aborted, SecateurError, type SecateurErrorCode, type SecateurErrorFields } from '../errors.js';
import type { NativeAddon, NativeCancel, NativeControl, NativeProgress } from './contract.js';
import loader from './load.cjs';

/**
 * The native addon.
 *
 * @throws SecateurError NATIVE_LOAD when it is missing or does not fit this machine.
 */
export function addon(): NativeAddon {
  try {
    return loader.loadAddon();
  } catch (error) {
    throw loadFailure(error);
  }
}

function loadFailure(cause: unknown): SecateurError {
  const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
  const advice = 'build it with `npm rebuild secateur` (needs a C++20 compiler and CMake)';
  return new SecateurError('NATIVE_LOAD', `Could not load the native addon (${reason}); ${advice}`, { cause });
}

interface NativeFailure extends Error {
  code: SecateurErrorCode;
  path?: string;
  tensor?: string;
  index?: number;
  errno?: string;
}

function isNativeFailure(error: unknown): error is NativeFailure {
  return error instanceof Error && 'code' in error && typeof error.code === 'string';
}

/** A native failure as a SecateurError whose stack is that of the call. */
function toSecateurError(error: unknown): unknown {
  if (!isNativeFailure(error) || error instanceof SecateurError) return error;
  const { path, tensor, index, errno } = error;
  const fields: SecateurErrorFields = { cause: error };
  if (path !== undefined) fields.path = path;
  if (tensor !== undefined) fields.tensor = tensor;
  if (index !== undefined) fields.index = index;
  if (errno !== undefined) fields.errno = errno;
  return new SecateurError(error.code, error.message, fields);
}

/**
 * Runs one asynchronous call of the addon under an AbortSignal.
 *
 * @param call gets the control object to pass on.
 * @throws SecateurError; ABORTED when the signal fires, with its reason as `cause`.
 */
export async function callNative<T>(
  call: (native: NativeAddon, control: NativeControl) => Promise<T>,
  { signal, progress }: { signal?: AbortSignal | undefined; progress?: NativeProgress | undefined } = {},
): Promise<T> {
  const native = addon();
  if (signal?.aborted) throw aborted(signal);
  const cancel: NativeCancel = native.createCancel();
  const onAbort = () => cancel.cancel();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await call(native, progress === undefined ? { cancel } : { cancel, progress });
  } catch (error) {
    if (signal?.aborted && isNativeFailure(error) && error.code === 'ABORTED') throw aborted(signal);
    throw toSecateurError(error);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

/** Runs one synchronous call of the addon, with failures as SecateurErrors. */
export function callNativeSync<T>(call: (native: NativeAddon) => T): T {
  const native = addon();
  try {
    return call(native);
  } catch (error) {
    throw toSecateurError(error);
  }
}
