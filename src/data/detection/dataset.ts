// The contract of pictures with boxes: what a data set of detection says about itself, and the bounds that its readers
// (coco.ts, yolo.ts) keep. Pictures stay in their files; batches.ts decodes them.

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
}
