// Augmentations of image batches, in place and without a copy of the batch: random shifts (a crop of the padded image)
// and mirror images. They take batches of shape [samples, channels, height, width].

import { SecateurError } from '../errors.js';
import { checkNumber } from '../options.js';
import type { Augmentation, Batch } from './batches.js';

/**
 * Pads each image on all sides and cuts a random window of the old size: a shift by up to `padding` pixels each way,
 * the same for all channels of an image.
 *
 * @param padding pixels, 0 or more.
 * @param fill the value of pixels from outside, after normalisation. 0 is the mean colour.
 */
export function randomCrop(padding: number, fill = 0): Augmentation {
  checkNumber('padding', padding, { least: 0, most: 2 ** 16, whole: true });
  return (batch, random) => {
    const { channels, height, width } = imageShape(batch);
    const size = channels * height * width;
    for (let start = 0; start < batch.inputs.length; start += size) {
      const down = random.below(2 * padding + 1) - padding;
      const right = random.below(2 * padding + 1) - padding;
      for (let plane = start; plane < start + size; plane += height * width) {
        shiftPlane(batch.inputs.subarray(plane, plane + height * width), width, { down, right, fill });
      }
    }
  };
}

/** Mirrors each image left to right with probability one half. */
export function randomFlip(): Augmentation {
  return (batch, random) => {
    const { channels, height, width } = imageShape(batch);
    const size = channels * height * width;
    for (let start = 0; start < batch.inputs.length; start += size) {
      if (random.uniform() < 0.5) continue;
      for (let row = start; row < start + size; row += width) batch.inputs.subarray(row, row + width).reverse();
    }
  };
}

function imageShape(batch: Batch): { channels: number; height: number; width: number } {
  const [, channels, height, width] = batch.inputShape;
  if (batch.inputShape.length === 4 && channels && height && width) return { channels, height, width };
  const shape = batch.inputShape.join(', ');
  throw new SecateurError(
    'INVALID_OPTION',
    `Expected image augmentations to get batches of shape [samples, channels, height, width], got [${shape}]`,
  );
}

interface Shift {
  /** Rows that the content moves down; negative: up. */
  down: number;
  /** Columns that it moves to the right; negative: to the left. */
  right: number;
  fill: number;
}

/** Moves the content of one plane. The whole plane is one move in memory; then what came in at the edges is filled. */
function shiftPlane(plane: Float32Array, width: number, { down, right, fill }: Shift): void {
  const height = plane.length / width;
  if (Math.abs(down) >= height || Math.abs(right) >= width) {
    plane.fill(fill);
    return;
  }
  const offset = down * width + right;
  if (offset > 0) plane.copyWithin(offset, 0, plane.length - offset);
  else if (offset < 0) plane.copyWithin(0, -offset);
  if (down > 0) plane.fill(fill, 0, down * width);
  else if (down < 0) plane.fill(fill, plane.length + down * width);
  if (right === 0) return;
  const from = right > 0 ? 0 : width + right;
  const to = right > 0 ? right : width;
  for (let row = 0; row < plane.length; row += width) plane.fill(fill, row + from, row + to);
}
