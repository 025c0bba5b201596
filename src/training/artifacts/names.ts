// The names that ONNX Runtime's training API goes by: it tells parameters, gradients and users' inputs apart by name.
import type { Value } from '../../onnx/build/graph-builder.js';

/** (buffer, value, reset) -> flag: adds to the buffer in place, or overwrites it. */
export const ACCUMULATOR = 'InPlaceAccumulatorV2';
/** A bool [1] input: true makes the accumulators begin anew. */
export const LAZY_RESET = 'lazy_reset_grad';
/** The one group of parameters that the runtime knows. */
export const GROUP = 'group0';
/** What its optimizer begins with where a checkpoint does not say, a float32 as all rates in checkpoints. */
export const DEFAULT_LEARNING_RATE = Math.fround(1e-3);

const BUFFER_SUFFIX = '_grad.accumulation.buffer';

export const bufferOf = (parameter: Value): Value => parameter + BUFFER_SUFFIX;
export const flagOf = (parameter: Value): Value => `${parameter}_grad.accumulation.out`;
/** Momenta of a parameter in a checkpoint: AdamW has the first two. */
export const momentumName = (index: number): string => `momentum${index}`;

/** The parameter whose gradient a value accumulates; undefined for other values. */
export function parameterOfBuffer(value: Value): Value | undefined {
  return value.endsWith(BUFFER_SUFFIX) ? value.slice(0, -BUFFER_SUFFIX.length) : undefined;
}
