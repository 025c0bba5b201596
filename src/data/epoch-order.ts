// Which samples a batch has: orders of epochs, cut into batches. All of it follows from the seed, the epoch and the
// position; knows nothing of what samples are.

import { invalidOption } from '../errors.js';
import { checkNumber } from '../options.js';
import { permutation, Random } from './random.js';

/** Where a pass over the data stands: the batch to come next. Plain JSON. */
export interface BatchPosition {
  /** The epoch, from 0. */
  epoch: number;
  /** Batches of it that are done; less than the epoch has. */
  batch: number;
}

export interface EpochOrderOptions {
  /** Samples. */
  length: number;
  batchSize: number;
  /** A new random order each epoch. */
  shuffle: boolean;
  seed: number;
  /** Leaves out a last batch that is smaller than the others. */
  dropLast: boolean;
  /** Sets the random numbers of orders apart from others of the seed. */
  stream: number;
}

export class EpochOrder {
  /** Batches an epoch; 0 where there are too few samples for one. */
  readonly perEpoch: number;
  readonly #options: EpochOrderOptions;
  #order: { epoch: number; indices: Uint32Array } | undefined;

  /** @throws SecateurError INVALID_OPTION */
  constructor(options: EpochOrderOptions) {
    const { length, batchSize, seed, dropLast } = options;
    checkNumber('batchSize', batchSize, { least: 1, most: 2 ** 31, whole: true });
    checkNumber('seed', seed, { least: 0, most: Number.MAX_SAFE_INTEGER, whole: true });
    this.#options = options;
    this.perEpoch = dropLast ? Math.floor(length / batchSize) : Math.ceil(length / batchSize);
  }

  /**
   * The samples of a batch.
   *
   * @throws SecateurError INVALID_OPTION where there is no such batch.
   */
  at(position: BatchPosition): Uint32Array {
    this.check(position);
    const { batchSize } = this.#options;
    const start = position.batch * batchSize;
    return this.#indices(position.epoch).subarray(start, start + batchSize);
  }

  /** The position after a batch. */
  next({ epoch, batch }: BatchPosition): BatchPosition {
    return batch + 1 >= this.perEpoch ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: batch + 1 };
  }

  /** @throws SecateurError INVALID_OPTION where there is no such batch. */
  check({ epoch, batch }: BatchPosition): void {
    checkNumber('epoch', epoch, { least: 0, most: 2 ** 31, whole: true });
    if (Number.isInteger(batch) && batch >= 0 && batch < this.perEpoch) return;
    throw invalidOption('batch', `a batch of the epoch in [0, ${this.perEpoch})`, batch);
  }

  #indices(epoch: number): Uint32Array {
    const { length, shuffle, seed, stream } = this.#options;
    if (this.#order && (this.#order.epoch === epoch || !shuffle)) return this.#order.indices;
    const indices = shuffle
      ? permutation(length, new Random(seed, stream, epoch))
      : Uint32Array.from({ length }, (_, index) => index);
    this.#order = { epoch, indices };
    return indices;
  }
}
