// IDX, the format of MNIST and Fashion-MNIST: two zero bytes, the element type, the number of dimensions, each dimension
// as 32 bits, big-endian, then the elements. Bytes only (type 0x08), which is what images and labels are stored as.

import { join } from 'node:path';
import { type DataOptions, type Dataset, elementsOf, invalidData, type Split } from './dataset.js';
import { readData } from './files.js';
import { greyNormalization, imageDataset } from './images.js';

const UNSIGNED_BYTE = 0x08;

/** An array of an IDX file. */
export interface IdxArray {
  dims: number[];
  /** Row-major; a view of the file's bytes. */
  data: Uint8Array;
}

/**
 * The array in the bytes of an IDX file.
 *
 * @param path for error messages.
 * @throws SecateurError INVALID_DATA where it is not IDX of bytes or has not the length that its header says.
 */
export function parseIdx(bytes: Uint8Array, path: string): IdxArray {
  const wanted = 'an IDX file of bytes (magic 00 00 08)';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4) throw invalidData(path, wanted, `it has only ${bytes.length} bytes`);
  if (view.getUint16(0) !== 0 || bytes[2] !== UNSIGNED_BYTE) {
    const magic = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    throw invalidData(path, wanted, `it begins with ${magic}`);
  }
  const rank = bytes[3] ?? 0;
  const start = 4 + 4 * rank;
  if (bytes.length < start) throw invalidData(path, wanted, 'it ends inside its header');
  const dims = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const expected = elementsOf(dims);
  if (bytes.length - start !== expected) {
    const what = bytes.length - start < expected ? 'it is cut short' : 'it is longer than its header says';
    throw invalidData(path, wanted, `${what}: [${dims.join(', ')}] elements expected, ${bytes.length - start} found`);
  }
  return { dims, data: bytes.subarray(start) };
}

/** The usual names: `train-images-idx3-ubyte`, `t10k-labels.idx1-ubyte.gz`, `emnist-digits-test-images-idx3-ubyte`. */
const USUAL = /^(?:(.*)-)?(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(\.gz)?$/;

/** The files of a split in a folder; `undefined` where it has none with the usual names. */
export function findIdx(names: readonly string[], folder: string, split: Split): IdxPair | undefined {
  const found: Record<'images' | 'labels', string[]> = { images: [], labels: [] };
  for (const name of names) {
    const [, , part, kind, zipped] = USUAL.exec(name) ?? [];
    if ((kind !== 'images' && kind !== 'labels') || (part === 'train') !== (split === 'train')) continue;
    // The same file beside its gzip is one file.
    if (zipped === undefined || !names.includes(name.slice(0, -zipped.length))) found[kind].push(name);
  }
  const [images, ...moreImages] = found.images;
  const [labels, ...moreLabels] = found.labels;
  if (images === undefined && labels === undefined) return undefined;
  if (images === undefined || labels === undefined || moreImages.length + moreLabels.length > 0) {
    const all = [...found.images, ...found.labels].join(', ');
    throw invalidData(folder, `a folder with one file of ${split} images and one of labels`, `it has ${all}`);
  }
  return { images: join(folder, images), labels: join(folder, labels) };
}

/** Paths of a file of images and of its labels. */
export interface IdxPair {
  images: string;
  labels: string;
}

/**
 * Grey images `[samples, height, width]` with labels `[samples]`; the samples' shape is `[1, height, width]`.
 *
 * @throws SecateurError IO, INVALID_DATA
 */
export async function openIdx(pair: IdxPair, name: string, options: DataOptions = {}): Promise<Dataset> {
  const [imageBytes, labelBytes] = await Promise.all([readData(pair.images), readData(pair.labels)]);
  const images = parseIdx(imageBytes, pair.images);
  const labels = parseIdx(labelBytes, pair.labels);
  const [count, height, width] = images.dims;
  if (images.dims.length !== 3 || count === undefined || height === undefined || width === undefined) {
    throw invalidData(pair.images, 'images of shape [samples, height, width]', `it has [${images.dims.join(', ')}]`);
  }
  if (labels.dims.length !== 1) {
    throw invalidData(pair.labels, 'labels of shape [samples]', `it has [${labels.dims.join(', ')}]`);
  }
  if (labels.data.length !== count) {
    const problem = `it has ${count} images and ${pair.labels} has ${labels.data.length} labels`;
    throw invalidData(pair.images, 'as many images as there are labels', problem);
  }
  return imageDataset({
    name,
    path: pair.labels,
    pixels: images.data,
    labels: labels.data,
    inputShape: [1, height, width],
    classes: options.classes ?? classesOf(labels.data),
    normalization: options.normalization ?? greyNormalization,
  });
}

/** The format does not say how many classes there are: ten, as MNIST and its kin have, or as many as the labels need. */
function classesOf(labels: Uint8Array): number {
  return Math.max(10, labels.reduce((most, label) => Math.max(most, label), 0) + 1);
}
