// Boxes in pixels. `[left, top, width, height]` of floats, as COCO writes them; pixel (0, 0) covers [0, 1) x [0, 1). Knows
// no picture and no class.

/** Pixels; width and height are 0 or more. */
export type Box = readonly [left: number, top: number, width: number, height: number];

/** Pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The part of a box inside a window; of size 0 where nothing of it is. */
export function clipBox([left, top, width, height]: Box, [x, y, wide, high]: Box): Box {
  const right = Math.min(x + wide, left + width);
  const bottom = Math.min(y + high, top + height);
  const clippedLeft = Math.min(Math.max(x, left), x + wide);
  const clippedTop = Math.min(Math.max(y, top), y + high);
  return [clippedLeft, clippedTop, Math.max(0, right - clippedLeft), Math.max(0, bottom - clippedTop)];
}

/** The part of a box inside a picture. */
export function clipToSize(box: Box, { width, height }: Size): Box {
  return clipBox(box, [0, 0, width, height]);
}

/** The box after every point `p` has become `p * scale + (left, top)`. */
export function placeBox(box: Box, { scale, left, top }: { scale: number; left: number; top: number }): Box {
  return [box[0] * scale + left, box[1] * scale + top, box[2] * scale, box[3] * scale];
}

/** Square pixels. */
export function areaOf([, , width, height]: Box): number {
  return width * height;
}
