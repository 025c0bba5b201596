// YOLO's text labels: for each picture a file of lines `class x y width height`, the centre and size of a box as fractions
// of the picture, upright. Names of classes come from classes.txt, obj.names or another .names file where there is one.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { isSecateurError } from '../../errors.js';
import { ioError } from '../../io-error.js';
import { invalidData, type Split } from '../dataset.js';
import { namesIn } from '../files.js';
import { areaOf, type Box, clipToSize, type Size } from './boxes.js';
import { type BoxLabel, type DetectionDataset, Problems } from './dataset.js';
import { pictureSize } from './picture.js';

const PICTURE = /\.(jpe?g|png|webp|tiff?|gif|avif|bmp)$/i;
const SPLITS: Record<Split, readonly string[]> = {
  train: ['train', 'train2017'],
  test: ['val', 'valid', 'val2017', 'test'],
};
const NAMES = ['classes.txt', 'obj.names'];
/** Pictures whose headers are read at a time. */
const AT_ONCE = 16;
/** Labels are written with six digits or so. */
const ROUNDING = 1e-3;

/** Where pictures and labels are; the same folder where they lie side by side. */
export interface YoloFolders {
  readonly root: string;
  readonly images: string;
  readonly labels: string;
  readonly ofSplit: boolean;
}

/** The folders of pictures and labels, the split's own first; `undefined` where there are none. */
export async function findYolo(root: string, split: Split): Promise<YoloFolders | undefined> {
  const layouts = [
    ...SPLITS[split].flatMap((own) => [
      { images: join('images', own), labels: join('labels', own), ofSplit: true },
      { images: join(own, 'images'), labels: join(own, 'labels'), ofSplit: true },
    ]),
    { images: 'images', labels: 'labels', ofSplit: false },
  ].map(({ images, labels, ofSplit }) => ({ root, images: join(root, images), labels: join(root, labels), ofSplit }));
  for (const layout of [...layouts, { root, images: root, labels: root, ofSplit: false }]) {
    if (!existsSync(layout.images) || !existsSync(layout.labels)) continue;
    const pictures = ((await namesIn(layout.images)) ?? []).filter((name) => PICTURE.test(name));
    const labels = new Set(await namesIn(layout.labels));
    if (pictures.some((name) => labels.has(labelFile(name)))) return layout;
  }
  return undefined;
}

/**
 * The pictures of a folder, in the order of their names, and their boxes, clipped to the picture. A picture without a
 * file of labels has no boxes.
 *
 * @throws SecateurError IO; INVALID_DATA with all that is wrong: lines that are no boxes, unknown classes, damaged pictures.
 */
export async function openYolo(folders: YoloFolders, name: string): Promise<DetectionDataset> {
  const pictures = ((await namesIn(folders.images)) ?? []).filter((file) => PICTURE.test(file));
  const known = await classNames(folders);
  const problems = new Problems();
  const read = await mapSome(pictures, (file) => readOne(file, folders, { classes: known?.length, problems }));
  problems.throwIfAny(folders.labels, 'labels of YOLO with their pictures');
  const classes = known ?? numbered(read.flatMap(({ labels }) => labels));
  return {
    name,
    classes,
    categoryIds: classes.map((_, index) => index),
    images: read.map(({ lines: _, ...image }, id) => ({ ...image, id })),
    leftOut: read.reduce((sum, { lines, labels }) => sum + lines - labels.length, 0),
  };
}

function labelFile(picture: string): string {
  return `${basename(picture, extname(picture))}.txt`;
}

async function readText(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw ioError('read', path, error);
  });
  return text.split(/\r?\n/).map((line) => line.trim());
}

async function classNames({ root, images, labels }: YoloFolders): Promise<string[] | undefined> {
  for (const folder of [root, labels, images]) {
    const files = (await namesIn(folder)) ?? [];
    const others = files.filter((file) => file.endsWith('.names'));
    const file = NAMES.find((usual) => files.includes(usual)) ?? (others.length === 1 ? others[0] : undefined);
    if (file === undefined) continue;
    const names = (await readText(join(folder, file))).filter((line) => line !== '');
    if (names.length > 0) return names;
    throw invalidData(join(folder, file), 'a name of a class a line', 'it is empty');
  }
  return undefined;
}

/** Names for classes that have none, up to the highest in use. */
function numbered(labels: readonly BoxLabel[]): string[] {
  const count = labels.reduce((most, { category }) => Math.max(most, category + 1), 1);
  return Array.from({ length: count }, (_, index) => String(index));
}

interface Context {
  classes: number | undefined;
  problems: Problems;
}

async function readOne(file: string, { images, labels: folder }: YoloFolders, context: Context) {
  const path = join(images, file);
  const size = await pictureSize(path).catch((error: unknown) => {
    if (!isSecateurError(error)) throw error;
    context.problems.add(error.message);
    return { width: 1, height: 1 };
  });
  const { width, height } = size;
  const labelPath = join(folder, labelFile(file));
  const texts = existsSync(labelPath) ? await readText(labelPath) : [];
  const labels: BoxLabel[] = [];
  let lines = 0;
  for (const [index, line] of texts.entries()) {
    if (line === '') continue;
    lines++;
    const label = parseLine(line, size, { ...context, place: `${labelFile(file)}:${index + 1}` });
    if (label !== undefined && areaOf(label.box) > 0) labels.push(label);
  }
  return { path, width, height, labels, lines };
}

function parseLine(line: string, size: Size, { classes, problems, place }: Context & { place: string }) {
  const [category = Number.NaN, ...box] = line.split(/\s+/).map(Number);
  if (box.length !== 4 || !box.every((value) => value >= 0 && value <= 1 + ROUNDING)) {
    return problems.add(`${place} should be "class x y width height" with fractions in [0, 1], but is ${short(line)}`);
  }
  if (!Number.isInteger(category) || category < 0 || category >= (classes ?? 2 ** 16)) {
    const range = classes === undefined ? 'a class, counted from 0' : `one of the ${classes} classes, counted from 0`;
    return problems.add(`${place} should begin with ${range}, but is ${short(line)}`);
  }
  const whole = toPixels(box, size);
  return { category, box: clipToSize(whole, size), crowd: false, area: areaOf(whole) };
}

function short(line: string): string {
  return JSON.stringify(line.length > 60 ? `${line.slice(0, 60)}...` : line);
}

function toPixels([x = 0, y = 0, wide = 0, high = 0]: readonly number[], { width, height }: Size): Box {
  return [(x - wide / 2) * width, (y - high / 2) * height, wide * width, high * height];
}

/** All results in order, with few calls at a time. */
async function mapSome<Item, Result>(items: readonly Item[], use: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < items.length; start += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(start, start + AT_ONCE).map(use))));
  }
  return results;
}
