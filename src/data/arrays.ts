// Data sets from plain arrays: what `.npz` archives and folders of `.npy` files hold, under the names that are usual.
// Bytes of rank 3 or 4 are images; other inputs are used as they are.

import { join } from 'node:path';
import {
  checkClassIndices,
  type DataOptions,
  type Dataset,
  elementsOf,
  invalidData,
  type Labels,
  type Split,
} from './dataset.js';
import { readData } from './files.js';
import { colourNormalization, greyNormalization, imageDataset } from './images.js';
import { type NpyArray, type NpyData, parseNpy, parseNpz } from './npy.js';

/** For each split, the names of inputs and of labels, in the order in which they are looked for. */
const NAMES: Record<Split, readonly (readonly [inputs: string, labels: string])[]> = {
  train: [
    ['x_train', 'y_train'],
    ['train_images', 'train_labels'],
    ['train_x', 'train_y'],
  ],
  test: [
    ['x_test', 'y_test'],
    ['test_images', 'test_labels'],
    ['test_x', 'test_y'],
  ],
};

/** The sentence that says which names are looked for. */
export const USUAL_ARRAYS = 'x_train, y_train, x_test, y_test (or train_images, train_labels, ...)';

/**
 * The arrays of a `.npz` archive as a data set.
 *
 * @throws SecateurError IO, INVALID_DATA, UNSUPPORTED
 */
export async function openNpz(path: string, split: Split, options: DataOptions & { name: string }): Promise<Dataset> {
  const bytes = await readData(path);
  const names: string[] = [];
  parseNpz(bytes, path, (name) => names.push(name) === 0);
  const pair = findArrays(names, split);
  if (!pair) {
    const problem = `it has ${names.join(', ') || 'nothing'}`;
    throw invalidData(path, `an archive with the ${split} arrays of ${USUAL_ARRAYS}`, problem);
  }
  const arrays = parseNpz(bytes, path, (name) => pair.includes(name));
  const [inputs, labels] = pair.map((name) => arrays.get(name));
  if (!inputs || !labels) throw invalidData(path, 'a NumPy archive (.npz)', `${pair.join(' or ')} is missing`);
  return arrayDataset(inputs, labels, { path, ...options });
}

/** The arrays of a folder of `.npy` files as a data set; `undefined` where it has none with the usual names. */
export async function openNpyFolder(
  folder: string,
  files: readonly string[],
  split: Split,
  options: DataOptions & { name: string },
): Promise<Dataset | undefined> {
  const names = files.filter((file) => file.endsWith('.npy')).map((file) => file.slice(0, -'.npy'.length));
  const pair = findArrays(names, split);
  if (!pair) return undefined;
  const read = async (name: string) => {
    const path = join(folder, `${name}.npy`);
    return parseNpy(await readData(path), path);
  };
  const [inputs, labels] = await Promise.all([read(pair[0]), read(pair[1])]);
  return arrayDataset(inputs, labels, { path: folder, ...options });
}

/** The first usual pair that is complete. */
export function findArrays(names: readonly string[], split: Split): readonly [string, string] | undefined {
  return NAMES[split].find(([inputs, labels]) => names.includes(inputs) && names.includes(labels));
}

/**
 * Inputs `[samples, ...]` and labels `[samples, ...]` as a data set.
 *
 * uint8 inputs `[samples, height, width]` and `[samples, channels, height, width]` with one or three channels are
 * images and are normalised; all other inputs become float32 unchanged. Integer labels `[samples]` or `[samples, 1]` are
 * class indices, float labels of any shape are targets.
 *
 * @throws SecateurError INVALID_DATA where there are no samples, counts differ, a label is not a class, or a float is NaN.
 */
export function arrayDataset(
  inputs: NpyArray,
  labels: NpyArray,
  options: DataOptions & { path: string; name: string },
): Dataset {
  const { path } = options;
  const [count, ...inputShape] = inputs.shape;
  if (count === undefined || inputs.data.length === 0)
    throw invalidData(path, 'inputs with labels', 'its inputs are empty');
  if (labels.shape[0] !== count) {
    throw invalidData(path, 'as many inputs as labels', `it has ${count} inputs and ${labels.shape[0] ?? 0} labels`);
  }
  const targets = isFloat(labels.data);
  if (!targets && labels.data.length !== count) {
    throw invalidData(path, 'one class index a sample', `its labels have the shape [${labels.shape.join(', ')}]`);
  }
  if (!targets) checkClassIndices(labels.data, options.classes, path);
  const imageShape = inputs.data instanceof Uint8Array ? imageShapeOf(inputShape) : undefined;
  if (inputs.data instanceof Uint8Array && imageShape && !targets) {
    return imageArrays(inputs.data, labels.data, imageShape, options);
  }
  checkFinite(inputs.data, `the inputs of ${path}`);
  checkFinite(labels.data, `the labels of ${path}`);
  return plainDataset(inputs, labels, targets, options);
}

function isFloat(data: NpyData): data is Float32Array | Float64Array {
  return data instanceof Float32Array || data instanceof Float64Array;
}

function imageShapeOf(shape: readonly number[]): [number, number, number] | undefined {
  const [channels, height, width] = shape.length === 2 ? [1, ...shape] : shape;
  if (shape.length > 3 || channels === undefined || height === undefined || width === undefined) return undefined;
  return channels === 1 || channels === 3 ? [channels, height, width] : undefined;
}

function imageArrays(
  pixels: Uint8Array,
  labels: NpyData,
  inputShape: [number, number, number],
  options: DataOptions & { path: string; name: string },
): Dataset {
  const { normalization = inputShape[0] === 1 ? greyNormalization : colourNormalization } = options;
  const bytes = new Uint8Array(labels.length);
  for (let index = 0; index < labels.length; index++) {
    const label = Number(labels[index]);
    if (label > 255)
      throw invalidData(options.path, 'images of at most 256 classes', `sample ${index} has label ${label}`);
    bytes[index] = label;
  }
  return imageDataset({ ...options, pixels, labels: bytes, inputShape, normalization });
}

function checkFinite(data: NpyData, what: string): void {
  if (!isFloat(data)) return;
  const index = data.findIndex((value) => !Number.isFinite(value));
  if (index >= 0) throw invalidData(what, 'finite numbers', `element ${index} is ${data[index]}`);
}

function plainDataset(
  inputs: NpyArray,
  labels: NpyArray,
  targets: boolean,
  { name, classes }: DataOptions & { name: string },
): Dataset {
  const inputShape = inputs.shape.slice(1);
  const labelShape = targets ? labels.shape.slice(1) : [];
  const inputSize = elementsOf(inputShape);
  const labelSize = elementsOf(labelShape);
  return {
    name,
    length: inputs.shape[0] ?? 0,
    inputShape,
    labelType: targets ? 'float32' : 'int64',
    labelShape,
    ...(classes !== undefined && { classes }),
    normalization: 'none: values are used as they are',
    read: (indices, out, outLabels) => {
      for (const [row, index] of indices.entries()) {
        copyRow(inputs.data, index * inputSize, out, row * inputSize, inputSize);
        copyRow(labels.data, index * labelSize, outLabels, row * labelSize, labelSize);
      }
    },
  };
}

function copyRow(from: NpyData, start: number, to: Labels, at: number, size: number): void {
  if (from instanceof Float32Array && to instanceof Float32Array) {
    to.set(from.subarray(start, start + size), at);
  } else if (to instanceof Float32Array) {
    for (let element = 0; element < size; element++) to[at + element] = Number(from[start + element]);
  } else {
    for (let element = 0; element < size; element++) to[at + element] = BigInt(from[start + element] ?? 0);
  }
}
