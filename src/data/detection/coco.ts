// COCO's instances format: one JSON file with images, categories and annotations (boxes), and a folder of pictures. Which
// folder, the file does not say: the usual ones are tried. Segmentations, licences and the rest are not looked at.

import { existsSync } from 'node:fs';
import { basename, dirname, join, posix, win32 } from 'node:path';
import { invalidData, type Split } from '../dataset.js';
import { namesIn, readData } from '../files.js';
import { areaOf, type Box, clipToSize } from './boxes.js';
import { type BoxLabel, type DetectionDataset, Problems } from './dataset.js';

/** Where files are looked for, and how those that belong to a split are called. */
const FOLDERS = ['.', 'annotations'];
const SPLITS: Record<Split, RegExp> = { train: /^instances_train.*\.json$/, test: /^instances_(val|test).*\.json$/ };
const UNSPLIT = ['instances.json', 'annotations.json', '_annotations.coco.json'];
const EXPECTED = 'COCO instances with their pictures';

/** The file of annotations in a folder, the split's own first; `undefined` where there is none. */
export async function findCoco(folder: string, split: Split): Promise<{ path: string; ofSplit: boolean } | undefined> {
  const folders = FOLDERS.map((inner) => join(folder, inner)).filter((path) => existsSync(path));
  const found = await Promise.all(
    folders.map(async (path) => ((await namesIn(path)) ?? []).map((name) => ({ name, path: join(path, name) }))),
  );
  const files = found.flat();
  const own = files.filter(({ name }) => SPLITS[split].test(name));
  if (own.length > 1) {
    const names = own.map(({ name }) => name).join(' and ');
    throw invalidData(folder, `a folder with one file to ${split}`, `it has ${names}: name one of them`);
  }
  const unsplit = UNSPLIT.flatMap((usual) => files.filter(({ name }) => name === usual));
  const chosen = own[0] ?? unsplit[0];
  return chosen && { path: chosen.path, ofSplit: own.length > 0 };
}

/**
 * The pictures and boxes of a file of annotations. Boxes are clipped to their picture.
 *
 * @throws SecateurError IO; INVALID_DATA with all that is wrong: fields missing or of another kind, ids without a partner,
 *   negative boxes, names that leave the folder, pictures that are not there.
 */
export async function openCoco(path: string, name: string): Promise<DetectionDataset> {
  const file = parseJson(await readData(path), path);
  const problems = new Problems();
  const categories = readCategories(file['categories'], problems);
  const images = readImages(file['images'], problems);
  const leftOut = readAnnotations(file['annotations'], { images, categories, problems });
  problems.throwIfAny(path, EXPECTED);
  const folder = await pictureFolder(path, images, problems);
  problems.throwIfAny(path, EXPECTED);
  return {
    name,
    classes: [...categories.values()].map((category) => category.name),
    categoryIds: [...categories.keys()],
    images: [...images.values()].map(({ file, ...image }) => ({ ...image, path: join(folder, file) })),
    leftOut,
  };
}

type Fields = Readonly<Record<string, unknown>>;

interface ListedImage {
  id: number;
  file: string;
  width: number;
  height: number;
  labels: BoxLabel[];
}

interface Category {
  name: string;
  index: number;
}

function parseJson(bytes: Uint8Array, path: string): Fields {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (isFields(value)) return value;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw invalidData(path, EXPECTED, `it is not JSON (${why})`, error);
  }
  throw invalidData(path, EXPECTED, 'it is JSON of another kind');
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The objects of a list that must be there, each with its place for messages. */
function* objectsOf(list: unknown, name: string, problems: Problems): Generator<[Fields, string]> {
  if (!Array.isArray(list)) return problems.add(`it has no list of ${name}`);
  if (list.length === 0 && name !== 'annotations') problems.add(`its list of ${name} is empty`);
  for (const [index, value] of list.entries()) {
    if (isFields(value)) yield [value, `${name}[${index}]`];
    else problems.add(`${name}[${index}] is no object`);
  }
}

/** Refuses a field unless it is as the sentence says. */
function check<Value>(
  [fields, place]: readonly [Fields, string],
  field: string,
  expected: string,
  isIt: (value: unknown) => value is Value,
): Value {
  const value = fields[field];
  if (isIt(value)) return value;
  throw new WrongField(`${place} should have ${field} ${expected}, but has ${JSON.stringify(value) ?? 'none'}`);
}

class WrongField extends Error {}

/** One object at a time: a wrong field is noted, and the object skipped. */
function eachObject(list: unknown, name: string, problems: Problems, use: (object: [Fields, string]) => void): void {
  for (const object of objectsOf(list, name, problems)) {
    try {
      use(object);
    } catch (error) {
      if (!(error instanceof WrongField)) throw error;
      problems.add(error.message);
    }
  }
}

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);
const isPixels = (value: unknown): value is number => isWhole(value) && value > 0;
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** By ascending id, whatever the file's order, so that a model's classes do not depend on it. */
function readCategories(list: unknown, problems: Problems): Map<number, Category> {
  const names = new Map<number, string>();
  eachObject(list, 'categories', problems, (object) => {
    const id = check(object, 'id', 'a whole number', isWhole);
    if (names.has(id)) problems.add(`${object[1]} has the id ${id} of another category`);
    names.set(id, check(object, 'name', 'a text', isText));
  });
  const ordered = [...names].sort(([a], [b]) => a - b);
  return new Map(ordered.map(([id, name], index) => [id, { name, index }]));
}

function readImages(list: unknown, problems: Problems): Map<number, ListedImage> {
  const images = new Map<number, ListedImage>();
  eachObject(list, 'images', problems, (object) => {
    const id = check(object, 'id', 'a whole number', isWhole);
    if (images.has(id)) problems.add(`${object[1]} has the id ${id} of another image`);
    const file = check(object, 'file_name', 'a path inside the folder of pictures', isInnerPath);
    const width = check(object, 'width', 'a number of pixels', isPixels);
    const height = check(object, 'height', 'a number of pixels', isPixels);
    images.set(id, { id, file, width, height, labels: [] });
  });
  return images;
}

/** A name from a file must not reach other files. */
function isInnerPath(value: unknown): value is string {
  if (!isText(value) || value.includes('\0') || posix.isAbsolute(value) || win32.isAbsolute(value)) return false;
  return !/^[a-z]:/i.test(value) && !value.split(/[\\/]/).includes('..');
}

interface Known {
  images: Map<number, ListedImage>;
  categories: Map<number, Category>;
  problems: Problems;
}

/** Adds the boxes to their images, and counts those that have no area there. COCO's own files have some. */
function readAnnotations(list: unknown, { images, categories, problems }: Known): number {
  let leftOut = 0;
  eachObject(list, 'annotations', problems, (object) => {
    const image = images.get(check(object, 'image_id', 'of an image', isIdIn(images)));
    const category = categories.get(check(object, 'category_id', 'of a category', isIdIn(categories)));
    const whole = check(object, 'bbox', '[left, top, width, height], neither side negative', isBox);
    if (image === undefined || category === undefined) return;
    const box = clipToSize(whole, image);
    if (areaOf(box) === 0) {
      leftOut++;
      return;
    }
    const [fields] = object;
    const crowd = 'iscrowd' in fields && check(object, 'iscrowd', '0 or 1', isFlag) === 1;
    const area = 'area' in fields ? check(object, 'area', 'a number of pixels', isArea) : 0;
    image.labels.push({ category: category.index, box, crowd, area: area || areaOf(whole) });
  });
  return leftOut;
}

const isIdIn =
  (ids: ReadonlyMap<number, unknown>) =>
  (value: unknown): value is number =>
    isWhole(value) && ids.has(value);

function isBox(value: unknown): value is Box {
  if (!Array.isArray(value) || value.length !== 4 || !value.every((side) => Number.isFinite(side))) return false;
  return value[2] >= 0 && value[3] >= 0;
}

const isArea = (value: unknown): value is number => Number.isFinite(value) && (value as number) >= 0;
const isFlag = (value: unknown): value is 0 | 1 => value === 0 || value === 1;

/** The folder that has most of the pictures; what it lacks is a problem. */
async function pictureFolder(path: string, images: Map<number, ListedImage>, problems: Problems): Promise<string> {
  const beside = dirname(path);
  const roots = basename(beside) === 'annotations' ? [dirname(beside), beside] : [beside];
  const own = /^instances_(.+)\.json$/.exec(basename(path))?.[1];
  const inner = ['images', ...(own === undefined ? [] : [own, join('images', own)]), '.'];
  const candidates = roots.flatMap((root) => inner.map((name) => join(root, name)));
  const files = [...images.values()].map(({ file }) => file);
  let best = { folder: candidates[0] ?? beside, missing: files };
  for (const folder of candidates) {
    const missing = await missingFrom(folder, files);
    if (missing.length < best.missing.length) best = { folder, missing };
  }
  const where = best.missing.length === files.length ? candidates.join(', ') : best.folder;
  for (const file of best.missing) problems.add(`the picture ${file} is not in ${where}`);
  return best.folder;
}

/** One look at each folder, not at each of a hundred thousand files. */
async function missingFrom(folder: string, files: readonly string[]): Promise<string[]> {
  const found = new Map<string, Set<string>>();
  for (const inner of new Set(files.map((file) => dirname(file)))) {
    const path = join(folder, inner);
    found.set(inner, new Set(existsSync(path) ? await namesIn(path) : []));
  }
  return files.filter((file) => !found.get(dirname(file))?.has(basename(file)));
}
