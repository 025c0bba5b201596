// The input of a detector: a picture scaled to fit a square, in its middle, with grey around it. And the way back, from
// boxes in the square to boxes in the picture.

import { checkNumber } from '../../options.js';
import { type Box, clipToSize, placeBox, type Size } from './boxes.js';
import { type Picture, readPicture } from './picture.js';

/** The value of pixels around the picture. */
export const PADDING = 0.5;

/** Where a picture lies in the network's input: `network = image * scale + (left, top)`, in pixels. */
export interface Letterbox {
  readonly scale: number;
  readonly left: number;
  readonly top: number;
}

/**
 * A picture file as the input of a detector.
 *
 * @param size pixels of the input's side, 1 or more.
 * @returns `pixels`: row-major `[3, size, size]`, RGB in [0, 1]; `original`: the picture's own size.
 * @throws SecateurError IO; INVALID_DATA where it is no picture, damaged or cut short; INVALID_OPTION, UNSUPPORTED
 */
export async function loadLetterboxed(
  path: string,
  size: number,
): Promise<{ pixels: Float32Array; letterbox: Letterbox; original: Size }> {
  checkNumber('size', size, { least: 1, most: 2 ** 14, whole: true });
  const { picture, original } = await readPicture(path, size);
  const letterbox = letterboxOf(original, size);
  const pixels = new Float32Array(3 * size * size).fill(PADDING);
  paint(picture, pixels, { size, ...letterbox });
  return { pixels, letterbox, original };
}

/** Where a picture of a size lies. Offsets are whole pixels. */
export function letterboxOf({ width, height }: Size, size: number): Letterbox {
  const scale = Math.min(size / width, size / height);
  return {
    scale,
    left: Math.floor((size - Math.round(width * scale)) / 2),
    top: Math.floor((size - Math.round(height * scale)) / 2),
  };
}

/** A box in the network's input, as a box in the picture and clipped to it. */
export function toImage([left, top, width, height]: Box, letterbox: Letterbox, image: Size): Box {
  const { scale } = letterbox;
  const box = [(left - letterbox.left) / scale, (top - letterbox.top) / scale, width / scale, height / scale] as const;
  return clipToSize(box, image);
}

/** A box of the picture, as a box in the network's input. */
export function toNetwork(box: Box, letterbox: Letterbox): Box {
  return placeBox(box, letterbox);
}

/** Copies a picture, unscaled, into planes `[3, size, size]` with its corner at whole pixels; it must fit. */
export function paint(
  { pixels, width, height }: Picture,
  planes: Float32Array,
  { size, left, top }: { size: number; left: number; top: number },
): void {
  const plane = size * size;
  for (let row = 0; row < height; row++) {
    let from = row * width * 3;
    const start = (top + row) * size + left;
    for (let at = start; at < start + width; at++, from += 3) {
      planes[at] = (pixels[from] ?? 0) / 255;
      planes[plane + at] = (pixels[from + 1] ?? 0) / 255;
      planes[2 * plane + at] = (pixels[from + 2] ?? 0) / 255;
    }
  }
}
