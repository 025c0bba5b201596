// From what a user writes after --data to a data set: the drawn digits, a folder of a kind that is recognised by its
// files, or an archive. The names of the data folder's own sets work too: `mnist` is $SECATEUR_DATA/mnist.

import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { invalidOption } from '../errors.js';
import { checkKeys } from '../options.js';
import { openNpyFolder, openNpz, USUAL_ARRAYS } from './arrays.js';
import { findCifar, openCifar } from './cifar.js';
import { type DataOptions, type Dataset, invalidData, type Split } from './dataset.js';
import { digitsDataset } from './digits/dataset.js';
import { namesIn } from './files.js';
import { findIdx, openIdx } from './idx.js';

/** The data folder where SECATEUR_DATA does not name one and this exists. */
const DEFAULT_FOLDER = '../shared/data';
/** Folders that a download of a set brings its files in. */
const INNER_FOLDERS = ['cifar-10-batches-bin', 'MNIST/raw', 'FashionMNIST/raw', 'raw'];

/** The folder of data sets: `SECATEUR_DATA`, or `../shared/data` where it exists. */
export function dataFolder(): string | undefined {
  const named = process.env['SECATEUR_DATA'];
  if (named) return named;
  return existsSync(DEFAULT_FOLDER) ? DEFAULT_FOLDER : undefined;
}

/**
 * Opens the data that a user named.
 *
 * @param location `digits` (drawn, no files needed); a folder with MNIST-like IDX files, with CIFAR-10's binary files or
 *   with `x_train.npy` and the like; a `.npz` archive; or the name of such a thing in the data folder, such as `mnist`.
 * @throws SecateurError IO where there is nothing; INVALID_DATA where it is damaged or of no known kind; UNSUPPORTED,
 *   INVALID_OPTION
 */
export async function openDataset(location: string, split: Split, options: DataOptions = {}): Promise<Dataset> {
  if (split !== 'train' && split !== 'test') throw invalidOption('split', "'train' or 'test'", split);
  checkKeys('option', Object.keys(options), ['normalization', 'classes']);
  if (location === 'digits') return digitsDataset(split, options);
  const path = locate(location);
  const title = (of: string) => `${basename(resolve(of))} (${split})`;
  const names = await namesIn(path);
  if (!names) return openFile(path, split, { ...options, name: title(path) });
  for (const folder of [path, ...INNER_FOLDERS.map((inner) => join(path, inner))]) {
    const files = folder === path ? names : existsSync(folder) && (await namesIn(folder));
    const found = files && (await openFolder(folder, files, split, { ...options, name: title(path) }));
    if (found) return found;
  }
  throw unknownKind(path, names, split);
}

/** The path as given, or in the data folder where nothing is at the path as given. */
export function locate(location: string): string {
  const folder = dataFolder();
  if (existsSync(location) || folder === undefined) return location;
  const inFolder = join(folder, location);
  return existsSync(inFolder) ? inFolder : location;
}

type Named = DataOptions & { name: string };

function openFolder(
  folder: string,
  files: readonly string[],
  split: Split,
  options: Named,
): Promise<Dataset | undefined> {
  const idx = findIdx(files, folder, split);
  if (idx) return openIdx(idx, options.name, options);
  const cifar = findCifar(files, folder, split);
  if (cifar.length > 0) return openCifar(cifar, options.name, options);
  return openNpyFolder(folder, files, split, options);
}

function openFile(path: string, split: Split, options: Named): Promise<Dataset> {
  if (path.endsWith('.npz')) return openNpz(path, split, options);
  const wanted = 'a folder of data or a .npz archive';
  throw invalidData(path, wanted, 'it is another file: where it belongs to MNIST or CIFAR-10, name its folder');
}

function unknownKind(path: string, names: readonly string[], split: Split) {
  const other: Split = split === 'train' ? 'test' : 'train';
  const hasOther = findIdx(names, path, other) !== undefined || findCifar(names, path, other).length > 0;
  if (hasOther) return invalidData(path, `a folder with data to ${split}`, `it has only data to ${other}`);
  const inside = names.filter((name) => isFolder(join(path, name)));
  const hint = inside.length > 0 ? `; it has the folders ${inside.join(', ')}: name one of them` : '';
  const kinds = `IDX (train-images-idx3-ubyte, ...), CIFAR-10 (data_batch_1.bin, ...) or NumPy (${USUAL_ARRAYS})`;
  return invalidData(path, `a folder of data: ${kinds}`, `it has ${names.length} other entries${hint}`);
}

function isFolder(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch {
    return false;
  }
}
