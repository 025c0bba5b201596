// The one error class of the package. Every failure that a user can cause or meet is a SecateurError with a
// stable `code` and data fields; anything else that escapes is a bug of ours.

/** Stable identifiers of failures. New ones may be added; none changes its meaning. */
export type SecateurErrorCode =
  | 'INVALID_OPTION' // an option or argument has a wrong type, value or name
  | 'INVALID_MODEL' // not ONNX, truncated, or contradicting itself
  | 'INVALID_DATA' // data or a training checkpoint is damaged, cut short, empty or contradicts itself
  | 'EXTERNAL_DATA' // external data missing, outside the model's folder, or not matching the tensor
  | 'NONFINITE_WEIGHT' // NaN or infinity in a prunable weight
  | 'NOTHING_PRUNABLE' // no tensor is left to prune
  | 'UNKNOWN_TENSOR' // an include or exclude pattern matches no initializer
  | 'UNSUPPORTED' // valid, but outside what Secateur does
  | 'FILE_CHANGED' // an input changed or shrank while it was read
  | 'IO' // the operating system refused; `errno` has its name (ENOSPC, EACCES, ...)
  | 'ABORTED' // the caller's AbortSignal, or an interrupt
  | 'NATIVE_LOAD' // the native addon could not be loaded
  | 'NO_RUNTIME' // onnxruntime-node is not installed or does not load
  | 'RUNTIME' // ONNX Runtime refused a model or failed to run it; the message has its reason
  | 'DIVERGED' // the loss is not finite any more; `index` is the step
  | 'CUDA' // the CUDA backend is missing or failed
  | 'INTERNAL'; // an invariant of ours does not hold; nothing was written

/** Facts about a failure, for programs. Which fields are set depends on the code. */
export interface SecateurErrorFields {
  /** The file that the failure is about. */
  path?: string;
  /** The tensor's name. */
  tensor?: string;
  /** Flat, zero-based element index inside the tensor. */
  index?: number;
  /** The operating system's name of the failure, such as `ENOSPC`. */
  errno?: string;
  /** The option's name. */
  option?: string;
  /** What was expected, and what came. */
  expected?: string;
  actual?: string;
  cause?: unknown;
}

/**
 * A failure with a stable code and one sentence that says what was expected, what came and what to do.
 *
 * @example
 * try { await prune('model.onnx', { output: 'pruned.onnx', ratio: 1.2 }); }
 * catch (error) { if (error instanceof SecateurError && error.code === 'INVALID_OPTION') ... }
 */
export class SecateurError extends Error {
  override readonly name = 'SecateurError';
  readonly code: SecateurErrorCode;
  readonly fields: Readonly<Omit<SecateurErrorFields, 'cause'>>;

  constructor(code: SecateurErrorCode, message: string, { cause, ...fields }: SecateurErrorFields = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.fields = fields;
  }
}

/** The grammar of our sentences: `Expected ratio to be a number in [0, 1), got 1.2`. */
export function invalidOption(option: string, expected: string, actual: unknown): SecateurError {
  const shown = typeof actual === 'string' ? JSON.stringify(actual) : String(actual);
  return new SecateurError('INVALID_OPTION', `Expected ${option} to be ${expected}, got ${shown}`, {
    option,
    expected,
    actual: shown,
  });
}

/** Whether a failure is ours, also when it comes from another copy of the package (ESM and CommonJS side by side). */
export function isSecateurError(error: unknown): error is SecateurError {
  return error instanceof Error && error.name === 'SecateurError' && 'code' in error;
}

/** What a call ends with when its signal fires; the signal's reason is the cause. */
export function aborted(signal: AbortSignal, state = 'nothing was written'): SecateurError {
  return new SecateurError('ABORTED', `Aborted; ${state}`, { cause: signal.reason });
}

/** @throws SecateurError ABORTED where the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}
