// From what a user names to pictures with boxes: COCO's JSON, or YOLO's text labels, recognised by the files.

import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { invalidOption } from '../../errors.js';
import { invalidData, type Split } from '../dataset.js';
import { namesIn } from '../files.js';
import { locate } from '../open.js';
import { findCoco, openCoco } from './coco.js';
import type { DetectionDataset } from './dataset.js';
import { findYolo, openYolo } from './yolo.js';

/**
 * Opens pictures with boxes.
 *
 * @param location a folder of COCO (instances.json or annotations/instances_*.json, and pictures) or of YOLO (images/ and
 *   labels/, or both side by side); a COCO JSON file; or the name of such a thing in the data folder, such as `coco128`.
 * @param split of data in two parts, which one; data in one part is itself for both.
 * @throws SecateurError IO where there is nothing; INVALID_DATA where it is damaged or of no known kind; UNSUPPORTED,
 *   INVALID_OPTION
 * @example
 * const { images, classes } = await openDetection('coco128');
 */
export async function openDetection(location: string, split: Split = 'train'): Promise<DetectionDataset> {
  if (split !== 'train' && split !== 'test') throw invalidOption('split', "'train' or 'test'", split);
  return await (await find(location, split)).open();
}

/**
 * The pictures to train and to test with: of data in one part the same object twice.
 *
 * @throws SecateurError as {@link openDetection}.
 */
export async function openDetectionParts(
  location: string,
): Promise<{ readonly train: DetectionDataset; readonly test: DetectionDataset }> {
  const found = await find(location, 'train');
  const train = await found.open();
  return { train, test: found.ofSplit ? await openDetection(location, 'test') : train };
}

/** What there is, and whether it is of that split alone. */
interface Found {
  readonly ofSplit: boolean;
  open(): Promise<DetectionDataset>;
}

async function find(location: string, split: Split): Promise<Found> {
  const path = locate(location);
  const title = (ofSplit: boolean) => `${basename(resolve(path))}${ofSplit ? ` (${split})` : ''}`;
  const names = await namesIn(path);
  if (names === undefined) return { ofSplit: false, open: () => openCoco(path, title(false)) };
  const coco = await findCoco(path, split);
  if (coco) return { ofSplit: coco.ofSplit, open: () => openCoco(coco.path, title(coco.ofSplit)) };
  const yolo = await findYolo(path, split);
  if (yolo) return { ofSplit: yolo.ofSplit, open: () => openYolo(yolo, title(yolo.ofSplit)) };
  throw await unknownKind(path, names, split);
}

async function unknownKind(path: string, names: readonly string[], split: Split) {
  const other: Split = split === 'train' ? 'test' : 'train';
  const hasOther = (await findCoco(path, other)) ?? (await findYolo(path, other));
  if (hasOther) return invalidData(path, `a folder with pictures to ${split}`, `it has only pictures to ${other}`);
  const kinds = 'COCO (instances.json, annotations/instances_train2017.json, ...) or YOLO (images/ and labels/)';
  const inside = names.filter((name) => existsSync(join(path, name, 'images')));
  const hint = inside.length > 0 ? `; name one of its folders ${inside.join(', ')}` : '';
  return invalidData(path, `pictures with boxes: ${kinds}`, `it has ${names.length} other entries${hint}`);
}
