// Metrics of classifiers from scores and class indices: accuracy, top-k accuracy and the confusion matrix, over as many
// batches as one likes. Scores are anything that ranks classes: logits, log-probabilities or probabilities.

import { checkClassIndices } from '../data/dataset.js';
import { SecateurError } from '../errors.js';
import { checkNumber } from '../options.js';

/** How {@link Classification} counts. */
export interface ClassificationOptions {
  /** Top-k accuracies to count beside the first. @default [] */
  topK?: readonly number[];
  /** Samples with this label are left out of everything, such as -100. @default none */
  ignoreIndex?: number;
}

/**
 * Counts over batches. Of equal scores the class with the lower index ranks first; a sample whose own score is NaN is
 * wrong, and other classes' NaN rank before every number, so a broken model never looks right.
 */
export class Classification {
  readonly classes: number;
  /** Counts `[classes, classes]`, row-major: the row is the label, the column the prediction. */
  readonly confusion: Float64Array;
  #samples = 0;
  #right = 0;
  readonly #topK: Map<number, number>;
  readonly #ignoreIndex: number | undefined;

  /**
   * @param classes 1 or more.
   * @throws SecateurError INVALID_OPTION
   */
  constructor(classes: number, { topK = [], ignoreIndex }: ClassificationOptions = {}) {
    checkNumber('classes', classes, { least: 1, most: 2 ** 15, whole: true });
    for (const k of topK) checkNumber('topK', k, { least: 1, whole: true });
    this.classes = classes;
    this.confusion = new Float64Array(classes * classes);
    this.#topK = new Map(topK.map((k) => [k, 0]));
    this.#ignoreIndex = ignoreIndex;
  }

  /**
   * Adds a batch.
   *
   * @param scores row-major `[samples, classes]`.
   * @param labels `[samples]`, each in `[0, classes)` or the ignored index.
   * @throws SecateurError INVALID_DATA where lengths do not fit or a label is no class; nothing is counted then.
   */
  add(scores: Float32Array | Float64Array, labels: BigInt64Array | Int32Array | Uint8Array): void {
    const { classes } = this;
    if (scores.length !== labels.length * classes) {
      throw new SecateurError(
        'INVALID_DATA',
        `Expected ${labels.length} x ${classes} scores for ${labels.length} labels, got ${scores.length}`,
      );
    }
    const indices = Array.from(labels, Number);
    checkClassIndices(
      indices.filter((label) => label !== this.#ignoreIndex),
      classes,
      'the batch',
    );
    for (const [row, label] of indices.entries()) {
      if (label !== this.#ignoreIndex) this.#count(scores.subarray(row * classes, (row + 1) * classes), label);
    }
  }

  #count(scores: Float32Array | Float64Array, label: number): void {
    const rank = rankOf(scores, label);
    const cell = label * this.classes + (rank === 0 ? label : firstOf(scores, label));
    this.confusion[cell] = (this.confusion[cell] ?? 0) + 1;
    this.#samples++;
    if (rank === 0) this.#right++;
    for (const [k, right] of this.#topK) if (rank < k) this.#topK.set(k, right + 1);
  }

  /** Samples counted. */
  get samples(): number {
    return this.#samples;
  }

  /** The fraction of samples whose label ranks first, in [0, 1]; NaN without samples. */
  get accuracy(): number {
    return this.#right / this.#samples;
  }

  /** The fraction of samples whose label is among the first k, in [0, 1]; `k` must have been asked for. */
  topK(k: number): number {
    const right = k === 1 ? this.#right : this.#topK.get(k);
    if (right === undefined) throw new SecateurError('INVALID_OPTION', `Expected topK to have been asked for ${k}`);
    return right / this.#samples;
  }
}

/** How many classes rank before `label`; all of them where its score is NaN. */
function rankOf(scores: Float32Array | Float64Array, label: number): number {
  const own = scores[label] ?? Number.NaN;
  if (Number.isNaN(own)) return scores.length;
  let rank = 0;
  for (let other = 0; other < scores.length; other++) {
    const score = scores[other] ?? 0;
    if (!(score <= own) || (score === own && other < label)) rank++;
  }
  return rank;
}

/** The first class, not counting a label of which it is known that it is not first. NaN ranks first. */
function firstOf(scores: Float32Array | Float64Array, label: number): number {
  let first = -1;
  let best = Number.NEGATIVE_INFINITY;
  for (let other = 0; other < scores.length; other++) {
    const score = scores[other] ?? 0;
    if (other === label) continue;
    if (Number.isNaN(score)) return other;
    if (first < 0 || score > best) {
      first = other;
      best = score;
    }
  }
  // A single class whose score is NaN: there is no other column to count it in.
  return first < 0 ? label : first;
}
