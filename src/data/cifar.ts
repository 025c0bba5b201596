// CIFAR-10, binary version: records of one label byte and 3072 pixel bytes (red, green, blue planes of 32 x 32, row by
// row). Takes as many `data_batch_N.bin` as there are, so a part of the training set is a training set.

import { join } from 'node:path';
import { type DataOptions, type Dataset, invalidData, type Split } from './dataset.js';
import { readData } from './files.js';
import { colourNormalization, imageDataset } from './images.js';

const PIXELS = 3 * 32 * 32;
const RECORD = 1 + PIXELS;
const CLASSES = 10;

/** Paths of a split's files in a folder, in the order of their numbers; empty where it has none. */
export function findCifar(names: readonly string[], folder: string, split: Split): string[] {
  const pattern = split === 'train' ? /^data_batch_(\d+)\.bin(\.gz)?$/ : /^test_batch(\.bin)(\.gz)?$/;
  return names
    .filter((name) => pattern.test(name) && !(name.endsWith('.gz') && names.includes(name.slice(0, -3))))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => join(folder, name));
}

/**
 * The images of the files, one file after the other; samples of shape `[3, 32, 32]`.
 *
 * @throws SecateurError IO, INVALID_DATA
 */
export async function openCifar(paths: readonly string[], name: string, options: DataOptions = {}): Promise<Dataset> {
  const files = await Promise.all(paths.map(readRecords));
  const count = files.reduce((sum, file) => sum + file.length, 0) / RECORD;
  const pixels = new Uint8Array(count * PIXELS);
  const labels = new Uint8Array(count);
  let sample = 0;
  for (const [position, file] of files.entries()) {
    for (let start = 0; start < file.length; start += RECORD, sample++) {
      const label = file[start] ?? 0;
      if (label >= CLASSES) {
        const problem = `record ${start / RECORD} has label ${label}`;
        throw invalidData(paths[position] ?? name, `CIFAR-10 records with labels in [0, ${CLASSES})`, problem);
      }
      labels[sample] = label;
      pixels.set(file.subarray(start + 1, start + RECORD), sample * PIXELS);
    }
  }
  const path = paths[0] ?? name;
  const normalization = options.normalization ?? colourNormalization;
  return imageDataset({
    name,
    path,
    pixels,
    labels,
    inputShape: [3, 32, 32],
    classes: options.classes ?? CLASSES,
    normalization,
  });
}

async function readRecords(path: string): Promise<Uint8Array> {
  const bytes = await readData(path);
  if (bytes.length === 0 || bytes.length % RECORD !== 0) {
    const problem =
      bytes.length === 0 ? 'it is empty' : `it has ${bytes.length} bytes, so it is cut short or another format`;
    throw invalidData(path, `whole records of ${RECORD} bytes (CIFAR-10)`, problem);
  }
  return bytes;
}
