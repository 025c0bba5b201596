// Batches of pictures with boxes, as a detector's input. Order, flips and mosaics follow from the seed, the epoch and the
// position alone, as those of data/batches.ts do, so a run that is resumed sees what an uninterrupted one would have seen.

import { invalidOption } from '../../errors.js';
import { checkKeys, checkNumber } from '../../options.js';
import { invalidData } from '../dataset.js';
import { type BatchPosition, EpochOrder } from '../epoch-order.js';
import { Random } from '../random.js';
import { placeBox } from './boxes.js';
import type { BoxLabel, DetectionDataset, DetectionImage } from './dataset.js';
import { type Letterbox, letterboxOf, PADDING, paint } from './letterbox.js';
import { paintMosaic, type Tile } from './mosaic.js';
import { PictureStore } from './picture-store.js';

/** A batch of pictures, in memory of its own. */
export interface DetectionBatch {
  /** Row-major `[size, 3, side, side]`, RGB in [0, 1], float32. */
  inputs: Float32Array;
  inputShape: [number, number, number, number];
  /** For each picture its boxes, in pixels of the input; `area` too. Crowds are kept. */
  labels: readonly (readonly BoxLabel[])[];
  /** For each picture its position in the data set, and where it lies without flip and mosaic (the first of a mosaic's). */
  images: readonly { index: number; letterbox: Letterbox }[];
  /** Pictures in it. */
  size: number;
  /** The batch's own position. */
  position: BatchPosition;
  /** The position of the batch after it. */
  next: BatchPosition;
}

/** How batches are made. */
export interface DetectionBatchOptions {
  /** Pixels of the input's side, 32 or more; YOLO's are multiples of 32. */
  size: number;
  /** Pictures a batch, 1 or more. @default 16 */
  batchSize?: number;
  /** A new random order each epoch. @default true */
  shuffle?: boolean;
  /** Decides order and augmentation: a whole number, 0 or more. @default 0 */
  seed?: number;
  /** How likely a mirror image is, in [0, 1]. @default 0 */
  flip?: number;
  /** How likely four pictures in one are, in [0, 1]. @default 0 */
  mosaic?: number;
  /** Leaves out the last batch of an epoch where it is smaller than the others. @default false */
  dropLast?: boolean;
}

const KEYS = ['size', 'batchSize', 'shuffle', 'seed', 'flip', 'mosaic', 'dropLast'];
/** Sets the streams of orders and of augmentations apart. */
const ORDER = 3;
const AUGMENT = 4;

/**
 * The batches of a data set.
 *
 * @example
 * const batches = new DetectionBatches(await openDetection('coco128'), { size: 416, flip: 0.5, mosaic: 0.5 });
 * for await (const { inputs, labels } of batches.epoch(0)) use(inputs, labels);
 */
export class DetectionBatches {
  readonly dataset: DetectionDataset;
  readonly batchSize: number;
  readonly seed: number;
  /** Pixels of the input's side. */
  readonly size: number;
  /** Batches an epoch, at least 1. */
  readonly perEpoch: number;
  /** How likely a mirror image and a mosaic are. */
  readonly flip: number;
  readonly mosaic: number;
  /** Decoded pictures that are kept, which other batches of the same size may use too. */
  readonly pictures: PictureStore;
  readonly #order: EpochOrder;

  /**
   * @param pictures of other batches of the same size, to decode none twice.
   * @throws SecateurError INVALID_OPTION; INVALID_DATA where no batch would come out.
   */
  constructor(dataset: DetectionDataset, options: DetectionBatchOptions, pictures?: PictureStore) {
    checkKeys('option', Object.keys(options), KEYS);
    const { size, batchSize = 16, shuffle = true, seed = 0, flip = 0, mosaic = 0, dropLast = false } = options;
    checkNumber('size', size, { least: 32, most: 2 ** 14, whole: true });
    checkNumber('flip', flip, { least: 0, most: 1 });
    checkNumber('mosaic', mosaic, { least: 0, most: 1 });
    this.dataset = dataset;
    this.batchSize = batchSize;
    this.seed = seed;
    this.size = size;
    this.flip = flip;
    this.mosaic = mosaic;
    this.pictures = pictures ?? new PictureStore(size);
    if (this.pictures.square !== size) throw invalidOption('pictures', `of size ${size}`, this.pictures.square);
    const { length } = dataset.images;
    this.#order = new EpochOrder({ length, batchSize, shuffle, seed, dropLast, stream: ORDER });
    this.perEpoch = this.#order.perEpoch;
    if (this.perEpoch > 0) return;
    throw invalidData(dataset.name, `enough for a batch of ${batchSize}`, `it has ${length} pictures`);
  }

  /**
   * The rest of an epoch from a batch on.
   *
   * @throws SecateurError IO, INVALID_DATA where a picture cannot be decoded or is of another size than labelled.
   */
  async *epoch(epoch: number, from = 0): AsyncGenerator<DetectionBatch, void, undefined> {
    for (let batch = from; batch < this.perEpoch; batch++) yield await this.at({ epoch, batch });
  }

  /** One batch, by its position alone. */
  async at(position: BatchPosition): Promise<DetectionBatch> {
    const indices = [...this.#order.at(position)];
    const { epoch, batch } = position;
    const sample = 3 * this.size * this.size;
    const inputs = new Float32Array(indices.length * sample).fill(PADDING);
    const labels = await Promise.all(
      indices.map((index, row) => {
        const planes = inputs.subarray(row * sample, (row + 1) * sample);
        return this.#fill(planes, index, new Random(this.seed, AUGMENT, epoch, batch, row));
      }),
    );
    return {
      inputs,
      inputShape: [indices.length, 3, this.size, this.size],
      labels,
      images: indices.map((index) => ({ index, letterbox: letterboxOf(this.#image(index), this.size) })),
      size: indices.length,
      position: { epoch, batch },
      next: this.#order.next(position),
    };
  }

  /** Paints one sample, and returns its labels. All random numbers are drawn before a picture is waited for. */
  async #fill(planes: Float32Array, index: number, random: Random): Promise<BoxLabel[]> {
    const mosaic = random.uniform() < this.mosaic;
    const mirrored = random.uniform() < this.flip;
    const { length } = this.dataset.images;
    const others = mosaic ? [0, 1, 2].map(() => random.below(length)) : [];
    const tiles = await Promise.all([index, ...others].map((position) => this.#tile(this.#image(position))));
    const labels = mosaic ? paintMosaic(tiles, planes, this.size, random) : this.#paintOne(tiles, planes, index);
    return mirrored ? mirror(planes, labels, this.size) : labels;
  }

  #paintOne([tile]: readonly Tile[], planes: Float32Array, index: number): BoxLabel[] {
    if (tile === undefined) return [];
    const { left, top } = letterboxOf(this.#image(index), this.size);
    paint(tile.picture, planes, { size: this.size, left, top });
    return tile.labels.map((label) => ({ ...label, box: placeBox(label.box, { scale: 1, left, top }) }));
  }

  async #tile(image: DetectionImage): Promise<Tile> {
    const picture = await this.pictures.load(image);
    const { scale } = letterboxOf(image, this.size);
    const labels = image.labels.map((label) => ({
      ...label,
      box: placeBox(label.box, { scale, left: 0, top: 0 }),
      area: label.area * scale * scale,
    }));
    return { picture, labels };
  }

  #image(index: number): DetectionImage {
    const image = this.dataset.images[index];
    if (image === undefined) throw invalidOption('index', `in [0, ${this.dataset.images.length})`, index);
    return image;
  }
}

/** Left becomes right, in place. */
function mirror(planes: Float32Array, labels: readonly BoxLabel[], size: number): BoxLabel[] {
  for (let row = 0; row < planes.length; row += size) planes.subarray(row, row + size).reverse();
  return labels.map((label) => {
    const [left, top, width, height] = label.box;
    return { ...label, box: [size - left - width, top, width, height] };
  });
}
