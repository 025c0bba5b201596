// What the tests of pictures with boxes share: small pictures written by sharp, and data sets of them by hand.
import { join } from 'node:path';
import sharp from 'sharp';
import type { Box } from '../../../src/data/detection/boxes.js';
import type { BoxLabel, DetectionDataset } from '../../../src/data/detection/dataset.js';
import { temporaryFolder } from '../helpers.js';

export type Colour = readonly [red: number, green: number, blue: number];

/** A PNG of one colour. */
export async function writePlain(path: string, width: number, height: number, [r, g, b]: Colour): Promise<string> {
  await sharp({ create: { width, height, channels: 3, background: { r, g, b } } })
    .png()
    .toFile(path);
  return path;
}

export function label(category: number, box: Box, more: Partial<BoxLabel> = {}): BoxLabel {
  return { category, box, crowd: false, area: box[2] * box[3], ...more };
}

/** A data set of plain pictures, each of its own colour. */
export async function plainDataset(
  pictures: readonly { width: number; height: number; colour: Colour; labels: readonly BoxLabel[] }[],
): Promise<DetectionDataset> {
  const folder = temporaryFolder();
  const images = await Promise.all(
    pictures.map(async ({ width, height, colour, labels }, id) => {
      const path = await writePlain(join(folder, `${id}.png`), width, height, colour);
      return { id, path, width, height, labels };
    }),
  );
  return { name: 'plain', classes: ['a', 'b', 'c'], categoryIds: [0, 1, 2], images };
}
