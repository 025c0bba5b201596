// The predictions of a network in one row: head after head, and in a head anchor by anchor, row by row of cells. Targets
// and loss both count them so. Sizes are in pixels of the network's input.
import type { DetectionNetwork } from './heads.js';

/** Where a prediction sits and what its numbers are relative to. */
export interface Cell {
  /** Left and top edge of the cell. */
  readonly left: number;
  readonly top: number;
  /** Width and height of the cell. */
  readonly stride: number;
  /** How far the decoded centre may leave it. */
  readonly scaleXY: number;
  readonly anchor: readonly [width: number, height: number];
}

/** One anchor of one head. */
export interface CellGrid {
  /** The position of its first prediction. */
  readonly start: number;
  /** Cells a side. */
  readonly side: number;
  readonly stride: number;
  readonly scaleXY: number;
  readonly anchor: readonly [width: number, height: number];
}

/** All anchors of all heads, in the order of the predictions. */
export function gridsOf({ size, heads }: DetectionNetwork): CellGrid[] {
  let start = 0;
  return heads.flatMap(({ stride, anchors, scaleXY }) =>
    anchors.map((anchor) => {
      const side = size / stride;
      const grid = { start, side, stride, scaleXY, anchor };
      start += side * side;
      return grid;
    }),
  );
}

/** Every prediction of an image. */
export function cellsOf(network: DetectionNetwork): Cell[] {
  return gridsOf(network).flatMap(({ side, stride, scaleXY, anchor }) =>
    Array.from({ length: side * side }, (_, cell) => {
      const [column, row] = [cell % side, Math.floor(cell / side)];
      return { left: column * stride, top: row * stride, stride, scaleXY, anchor };
    }),
  );
}
