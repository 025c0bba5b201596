// The contract of pictures with boxes: what a data set of detection says about itself, and how its readers (coco.ts,
// yolo.ts) say what is wrong. Pictures stay in their files; batches.ts decodes them.

import { invalidData } from '../dataset.js';
import type { Box, Size } from './boxes.js';

/** One object of a picture. */
export interface BoxLabel {
  /** Index into the data set's classes. */
  readonly category: number;
  /** Pixels of the picture, inside it; width and height above 0. */
  readonly box: Box;
  /** Stands for a group of objects: nothing to learn from, and no detection inside it is wrong. */
  readonly crowd: boolean;
  /** Square pixels of the object itself, which COCO's sizes go by; the box's where the data does not say it. */
  readonly area: number;
}

/** A picture and all its objects. */
export interface DetectionImage extends Size {
  /** COCO's id; elsewhere the position in the order of file names. */
  readonly id: number;
  readonly path: string;
  readonly labels: readonly BoxLabel[];
}

/** Pictures with boxes. */
export interface DetectionDataset {
  /** How reports name it, such as `coco128 (train)`. */
  readonly name: string;
  /** Names by category. */
  readonly classes: readonly string[];
  /** The file's own id of each category: COCO's have gaps. Ascending. */
  readonly categoryIds: readonly number[];
  /** At least 1. */
  readonly images: readonly DetectionImage[];
  /** Labels that the data has but `images` has not: boxes of no area, or outside their picture. @default 0 */
  readonly leftOut?: number;
}

/** How many problems a message lists. */
const SHOWN = 5;

/** What is wrong with a file of labels: all of it, so that it need not be found one by one. */
export class Problems {
  readonly #found: string[] = [];
  #count = 0;

  add(problem: string): void {
    if (this.#count++ < SHOWN) this.#found.push(problem);
  }

  /** @throws SecateurError INVALID_DATA with the first problems and how many more there are. */
  throwIfAny(path: string, expected: string): void {
    if (this.#count === 0) return;
    const more = this.#count - this.#found.length;
    throw invalidData(path, expected, this.#found.join('; ') + (more > 0 ? `; and ${more} more problems` : ''));
  }
}
