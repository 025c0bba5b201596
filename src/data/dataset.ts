// The contract of labelled samples: what a data set says about itself, and how samples come out of it. A data set knows
// nothing of order, batches or augmentation (loader.ts), nor where its bytes came from (the readers beside this file).

import { SecateurError } from '../errors.js';

/** Labels of a batch: class indices (`int64`), or float targets. */
export type Labels = BigInt64Array | Float32Array;

/** Which part of a data set: `train` to fit, `test` to measure. */
export type Split = 'train' | 'test';

/** Labelled samples in random access. Reading is deterministic: an index always gives the same bits. */
export interface Dataset {
  /** How reports name it, such as `mnist (train)`. */
  readonly name: string;
  /** The number of samples, at least 1. */
  readonly length: number;
  /** The shape of one sample without the batch dimension, such as `[1, 28, 28]` (channels, height, width). */
  readonly inputShape: readonly number[];
  /** `int64`: class indices. `float32`: targets. */
  readonly labelType: 'int64' | 'float32';
  /** The shape of one label without the batch dimension; `[]` for a class index. */
  readonly labelShape: readonly number[];
  /** The number of classes, where the data says it: class indices are in `[0, classes)`. */
  readonly classes?: number;
  /** What was done to the values, as a sentence, such as `(value / 255 - 0.1307) / 0.3081`. */
  readonly normalization: string;
  /** Of images with one channel: the value of a black pixel, which is what lies around them. */
  readonly black?: number;
  /**
   * Copies samples into a batch's memory.
   *
   * @param indices which samples, each in `[0, length)`, in any order.
   * @param inputs row-major `[indices.length, ...inputShape]`, normalised. Every element is written.
   * @param labels row-major `[indices.length, ...labelShape]`, of `labelType`. Every element is written.
   */
  read(indices: Uint32Array, inputs: Float32Array, labels: Labels): void;
}

/** Mean and standard deviation for each channel, of values scaled to [0, 1]. */
export interface Normalization {
  mean: readonly number[];
  deviation: readonly number[];
}

/** What readers take where the data does not say it, or where the default is not wanted. */
export interface DataOptions {
  /** Of images of bytes. @default that of MNIST for one channel, that of CIFAR-10 for three. */
  normalization?: Normalization;
  /** The number of classes: larger labels are refused. @default what the format says. */
  classes?: number;
}

/** Elements of a shape. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The one grammar of "this data cannot be used". `problem` completes the sentence. */
export function invalidData(path: string, expected: string, problem: string, cause?: unknown): SecateurError {
  const message = `Expected ${path} to be ${expected}, but ${problem}`;
  return new SecateurError('INVALID_DATA', message, { path, cause });
}

/**
 * Refuses class indices outside `[0, classes)`, whole numbers only. Without `classes` only negative ones are refused.
 *
 * @throws SecateurError INVALID_DATA with the position of the first wrong label.
 */
export function checkClassIndices(
  labels: ArrayLike<number> | ArrayLike<bigint>,
  classes: number | undefined,
  path: string,
  ignored?: number,
): void {
  const end = classes ?? Number.POSITIVE_INFINITY;
  for (let index = 0; index < labels.length; index++) {
    const label = Number(labels[index]);
    if (label === ignored || (Number.isInteger(label) && label >= 0 && label < end)) continue;
    throw new SecateurError(
      'INVALID_DATA',
      `Expected every label in ${path} to be a whole number in [0, ${classes ?? 'infinity'}), got ${label} for sample ${index}`,
      { path, index, actual: String(label) },
    );
  }
}
