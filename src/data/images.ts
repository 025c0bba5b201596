// Images of bytes as a data set: they stay bytes in memory, and a table of 256 floats for each channel normalises them
// on the way into a batch. Every image format ends here.

import { invalidOption } from '../errors.js';
import {
  checkClassIndices,
  type Dataset,
  elementsOf,
  invalidData,
  type Labels,
  type Normalization,
} from './dataset.js';

/** Mean and deviation of MNIST's training set; also used for the drawn digits and for other grey images. */
export const greyNormalization: Normalization = { mean: [0.1307], deviation: [0.3081] };

/** Mean and deviation of CIFAR-10's training set: red, green, blue. */
export const colourNormalization: Normalization = {
  mean: [0.4914, 0.4822, 0.4465],
  deviation: [0.247, 0.2435, 0.2616],
};

/** What {@link imageDataset} takes. */
export interface ImageParts {
  name: string;
  /** For error messages. */
  path: string;
  /** Row-major `[samples, channels, height, width]`. */
  pixels: Uint8Array;
  /** Class indices, one a sample. */
  labels: Uint8Array;
  /** `[channels, height, width]` */
  inputShape: readonly [number, number, number];
  classes?: number;
  normalization: Normalization;
}

/**
 * Images of bytes with class indices, normalised to `(value / 255 - mean) / deviation` for each channel.
 *
 * @throws SecateurError INVALID_DATA where there are no samples, counts differ or a label is not a class;
 *   INVALID_OPTION where the normalisation does not fit the channels.
 */
export function imageDataset(parts: ImageParts): Dataset {
  const { name, path, pixels, labels, inputShape, classes, normalization } = parts;
  const size = elementsOf(inputShape);
  if (labels.length === 0 || size === 0) throw invalidData(path, 'images with labels', 'there are none in it');
  if (pixels.length !== labels.length * size) {
    const images = size === 0 ? 0 : pixels.length / size;
    throw invalidData(path, 'as many images as labels', `it has ${images} images and ${labels.length} labels`);
  }
  checkClassIndices(labels, classes, path);
  const tables = normalizationTables(normalization, inputShape[0]);
  return {
    name,
    length: labels.length,
    inputShape,
    labelType: 'int64',
    labelShape: [],
    ...(classes !== undefined && { classes }),
    normalization: describeNormalization(normalization),
    ...blackOf(normalization),
    read: (indices, inputs, out) => readImages({ pixels, labels, size, tables }, indices, inputs, out),
  };
}

/** {@link Dataset.black} where there is one channel. */
export function blackOf({ mean, deviation }: Normalization): { black?: number } {
  return mean.length === 1 ? { black: (0 - (mean[0] ?? 0)) / (deviation[0] ?? 1) } : {};
}

/** The sentence for {@link Dataset.normalization}. */
export function describeNormalization({ mean, deviation }: Normalization): string {
  const shown = (values: readonly number[]) => (values.length === 1 ? String(values[0]) : `[${values.join(', ')}]`);
  return `(value / 255 - ${shown(mean)}) / ${shown(deviation)}`;
}

/** Refuses a normalisation that has not a sound mean and deviation for each channel. */
export function checkNormalization({ mean, deviation }: Normalization, channels: number): void {
  const fits = mean.length === channels && deviation.length === channels;
  const sound = mean.every(Number.isFinite) && deviation.every((value) => Number.isFinite(value) && value > 0);
  if (!fits || !sound) {
    const given = `${mean.length} and ${deviation.length} numbers: [${mean.join(', ')}] and [${deviation.join(', ')}]`;
    throw invalidOption('normalization', `a mean and a positive deviation for each of ${channels} channels`, given);
  }
}

/** For each channel, the normalised value of each byte. */
function normalizationTables(normalization: Normalization, channels: number): Float32Array[] {
  checkNormalization(normalization, channels);
  const { mean, deviation } = normalization;
  return mean.map((middle, channel) =>
    Float32Array.from({ length: 256 }, (_, value) => (value / 255 - middle) / (deviation[channel] ?? 1)),
  );
}

interface Stored {
  pixels: Uint8Array;
  labels: Uint8Array;
  size: number;
  tables: readonly Float32Array[];
}

function readImages(stored: Stored, indices: Uint32Array, inputs: Float32Array, labels: Labels): void {
  const { pixels, size, tables } = stored;
  const plane = size / tables.length;
  let to = 0;
  for (const [row, index] of indices.entries()) {
    let from = index * size;
    for (const table of tables) {
      for (const end = from + plane; from < end; from++) inputs[to++] = table[pixels[from] ?? 0] ?? 0;
    }
    setLabel(labels, row, stored.labels[index] ?? 0);
  }
}

/** Writes a label as the type that the batch holds. */
export function setLabel(labels: Labels, row: number, label: number): void {
  if (labels instanceof Float32Array) labels[row] = label;
  else labels[row] = BigInt(label);
}
