// Mosaic, YOLOv4's augmentation: four pictures that meet in a random point of the input, each with a corner there and at
// a random scale; what reaches beyond its quarter is cut off, boxes with it.

import type { Random } from '../random.js';
import { areaOf, type Box, clipBox, placeBox } from './boxes.js';
import type { BoxLabel } from './dataset.js';
import type { Picture } from './picture.js';

/** The point where pictures meet lies this far from the edges, as a fraction of the input. */
const MARGIN = 0.25;
/** Pictures are this much smaller than when they fill the input. */
const SMALLEST = 0.5;
/** What a cut leaves of a box counts from this many pixels a side on, and from this fraction of its area on. */
const LEAST_SIDE = 2;
const LEAST_SHARE = 0.1;

/** A picture that just fits the input, and its boxes in pixels of that picture. */
export interface Tile {
  readonly picture: Picture;
  readonly labels: readonly BoxLabel[];
}

/**
 * Paints four pictures (left above, right above, left below, right below) into planes `[3, size, size]` of grey.
 *
 * @returns the labels that are left, in pixels of the input.
 */
export function paintMosaic(tiles: readonly Tile[], planes: Float32Array, size: number, random: Random): BoxLabel[] {
  const [x, y] = [middle(size, random), middle(size, random)];
  return tiles.flatMap(({ picture, labels }, quarter) => {
    const scale = random.between(SMALLEST, 1);
    const [right, below] = [quarter % 2 === 1, quarter >= 2];
    const left = right ? x : x - picture.width * scale;
    const top = below ? y : y - picture.height * scale;
    const room: Box = [right ? x : 0, below ? y : 0, right ? size - x : x, below ? size - y : y];
    const place = { scale, left, top };
    const window = clipBox(placeBox([0, 0, picture.width, picture.height], place), room);
    paintScaled(picture, planes, { size, window, ...place });
    return labels.flatMap((label) => cutLabel(label, placeBox(label.box, place), window));
  });
}

function middle(size: number, random: Random): number {
  return Math.round(random.between(MARGIN, 1 - MARGIN) * size);
}

/** The label as far as it is in the window, or nothing where that is too little to be recognised. */
function cutLabel(label: BoxLabel, whole: Box, window: Box): BoxLabel[] {
  const box = clipBox(whole, window);
  const share = areaOf(box) / areaOf(whole);
  if (Math.min(box[2], box[3]) < LEAST_SIDE || share < LEAST_SHARE) return [];
  const area = (label.area * areaOf(whole) * share) / areaOf(label.box);
  return [{ ...label, box, area }];
}

interface Placed {
  size: number;
  scale: number;
  left: number;
  top: number;
  window: Box;
}

/** Bilinear: scales are between a half and one, where that neither skips pixels nor blurs. */
function paintScaled(picture: Picture, planes: Float32Array, { size, scale, left, top, window }: Placed): void {
  const columns = samplesOf(window[0], window[2], { origin: left, scale, length: picture.width });
  const rows = samplesOf(window[1], window[3], { origin: top, scale, length: picture.height });
  const { pixels, width } = picture;
  for (const row of rows) {
    for (const column of columns) {
      const at = row.at * size + column.at;
      for (let channel = 0; channel < 3; channel++) {
        const value = (y: number, x: number) => pixels[(y * width + x) * 3 + channel] ?? 0;
        const upper = mix(value(row.low, column.low), value(row.low, column.high), column.part);
        const lower = mix(value(row.high, column.low), value(row.high, column.high), column.part);
        planes[channel * size * size + at] = mix(upper, lower, row.part) / 255;
      }
    }
  }
}

function mix(low: number, high: number, part: number): number {
  return low + (high - low) * part;
}

interface Sample {
  /** The pixel of the input. */
  at: number;
  /** The picture's two pixels around its centre, and how much of the second. */
  low: number;
  high: number;
  part: number;
}

/** Where along one axis each pixel of a stretch of the input gets its value from. */
function samplesOf(
  start: number,
  length: number,
  picture: { origin: number; scale: number; length: number },
): Sample[] {
  const samples: Sample[] = [];
  for (let at = Math.round(start); at < Math.round(start + length); at++) {
    const exact = (at + 0.5 - picture.origin) / picture.scale - 0.5;
    const inside = Math.min(Math.max(exact, 0), picture.length - 1);
    const low = Math.floor(inside);
    samples.push({ at, low, high: Math.min(low + 1, picture.length - 1), part: inside - low });
  }
  return samples;
}
