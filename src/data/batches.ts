// Batches of a data set: order, size, augmentation, and where one stopped. All of it follows from the seed, the epoch
// and the position, so a run that is resumed sees the samples that an uninterrupted one would have seen.

import { invalidOption, SecateurError } from '../errors.js';
import { checkKeys } from '../options.js';
import { type Dataset, elementsOf, type Labels } from './dataset.js';
import { type BatchPosition, EpochOrder } from './epoch-order.js';
import { Random } from './random.js';

export type { BatchPosition };

/** A batch of samples, in memory of its own. */
export interface Batch {
  /** Row-major `[size, ...sample shape]`, float32. */
  inputs: Float32Array;
  inputShape: number[];
  labels: Labels;
  labelShape: number[];
  /** Samples in it. */
  size: number;
  /** The batch's own position. */
  position: BatchPosition;
  /** The position of the batch after it: what to keep in a checkpoint once this one is used. */
  next: BatchPosition;
}

/**
 * Changes a batch in place before it is used. `random` is a stream of the batch's own, so that equal seeds give equal
 * batches whatever came before.
 */
export type Augmentation = (batch: Batch, random: Random) => void;

/** How batches are made. */
export interface BatchOptions {
  /** Samples a batch, 1 or more. @default 64 */
  batchSize?: number;
  /** A new random order each epoch. @default true */
  shuffle?: boolean;
  /** Decides order and augmentation: a whole number, 0 or more. @default 0 */
  seed?: number;
  /** Leaves out the last batch of an epoch where it is smaller than the others. @default false */
  dropLast?: boolean;
  /** Applied in turn. @default [] */
  augment?: readonly Augmentation[];
}

const KEYS = ['batchSize', 'shuffle', 'seed', 'dropLast', 'augment'];
/** Sets the streams of orders and of augmentations apart. */
const ORDER = 1;
const AUGMENT = 2;

/**
 * The batches of a data set.
 *
 * @example
 * const batches = new Batches(await openDataset('digits', 'train'), { batchSize: 64, seed: 1 });
 * for (const batch of batches.epoch(0)) use(batch.inputs, batch.labels);
 */
export class Batches {
  readonly dataset: Dataset;
  readonly batchSize: number;
  readonly seed: number;
  /** Batches an epoch, at least 1. */
  readonly perEpoch: number;
  readonly #augment: readonly Augmentation[];
  readonly #order: EpochOrder;

  /**
   * @throws SecateurError INVALID_OPTION; INVALID_DATA where no batch would come out.
   */
  constructor(dataset: Dataset, options: BatchOptions = {}) {
    checkKeys('option', Object.keys(options), KEYS);
    const { batchSize = 64, shuffle = true, seed = 0, dropLast = false, augment = [] } = options;
    if (!Array.isArray(augment)) throw invalidOption('augment', 'a list of functions', augment);
    this.#order = new EpochOrder({ length: dataset.length, batchSize, shuffle, seed, dropLast, stream: ORDER });
    this.dataset = dataset;
    this.batchSize = batchSize;
    this.seed = seed;
    this.perEpoch = this.#order.perEpoch;
    this.#augment = augment;
    if (this.perEpoch > 0) return;
    throw new SecateurError(
      'INVALID_DATA',
      `Expected ${dataset.name} to fill a batch of ${batchSize}, but it has ${dataset.length} samples`,
    );
  }

  /** The rest of an epoch from a batch on. */
  *epoch(epoch: number, from = 0): Generator<Batch, void, undefined> {
    for (let batch = from; batch < this.perEpoch; batch++) yield this.at({ epoch, batch });
  }

  /** The batches from a position on until an epoch begins that is not wanted any more. */
  *from(position: BatchPosition, endEpoch: number): Generator<Batch, void, undefined> {
    this.#order.check(position);
    yield* this.epoch(position.epoch, position.batch);
    for (let epoch = position.epoch + 1; epoch < endEpoch; epoch++) yield* this.epoch(epoch);
  }

  /** One batch, by its position alone. */
  at(position: BatchPosition): Batch {
    const indices = this.#order.at(position);
    const { epoch, batch } = position;
    const made = this.#empty(indices.length, position);
    this.dataset.read(indices, made.inputs, made.labels);
    if (this.#augment.length > 0) {
      const random = new Random(this.seed, AUGMENT, epoch, batch);
      for (const augmentation of this.#augment) augmentation(made, random);
    }
    return made;
  }

  #empty(size: number, position: BatchPosition): Batch {
    const { inputShape, labelShape, labelType } = this.dataset;
    const labels = size * elementsOf(labelShape);
    return {
      inputs: new Float32Array(size * elementsOf(inputShape)),
      inputShape: [size, ...inputShape],
      labels: labelType === 'int64' ? new BigInt64Array(labels) : new Float32Array(labels),
      labelShape: [size, ...labelShape],
      size,
      position: { ...position },
      next: this.#order.next(position),
    };
  }
}

/**
 * Makes the next item while the consumer is busy with the one it has: worthwhile where the consumer waits for another
 * thread. Items, their order and errors are the source's; a consumer that stops early stops the source.
 */
export async function* prefetch<Item>(
  source: Iterable<Item> | AsyncIterable<Item>,
): AsyncGenerator<Item, void, undefined> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let ended = false;
  try {
    let coming = Promise.resolve(iterator.next());
    for (;;) {
      const result = await coming;
      if (result.done) {
        ended = true;
        return;
      }
      coming = afterThisTurn(() => iterator.next());
      // An error of an item that is never asked for is nobody's.
      coming.catch(() => undefined);
      yield result.value;
    }
  } catch (error) {
    ended = true;
    throw error;
  } finally {
    if (!ended) await iterator.return?.();
  }
}

/** The consumer first gets its item and starts its work; then the next is made. */
function afterThisTurn<Value>(work: () => Value | Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      Promise.resolve().then(work).then(resolve, reject);
    });
  });
}
