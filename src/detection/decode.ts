// From a head's numbers to boxes. Cells are passed over before any exponential where even a class of probability 1 would
// stay below the threshold: nearly all of them are.
import type { Candidates } from './candidates.js';
import { boxChannels, type Head } from './heads.js';

/** Where a head's numbers lie: the number of channel c of anchor a in cell i is at `a * anchor + c * channel + i * cell`. */
export interface HeadLayout {
  /** Cells in a row and in a column. */
  readonly columns: number;
  readonly rows: number;
  readonly classes: number;
  /** Steps from one to the next. */
  readonly anchor: number;
  readonly channel: number;
  readonly cell: number;
  /** Objectness and classes have been through a sigmoid already. @default false */
  readonly probabilities?: boolean;
}

/** Numbers as [anchors * (5 + classes), rows, columns]. */
export function planarLayout(rows: number, columns: number, classes: number): HeadLayout {
  const cells = rows * columns;
  return { rows, columns, classes, anchor: (boxChannels + classes) * cells, channel: cells, cell: 1 };
}

/** Numbers as [rows, columns, anchors, 5 + classes]. */
export function interleavedLayout(rows: number, columns: number, classes: number, anchors: number): HeadLayout {
  const step = boxChannels + classes;
  return { rows, columns, classes, anchor: step, channel: 1, cell: anchors * step };
}

/**
 * Adds the boxes of one picture whose score, objectness times the probability of the class, is at least `threshold`.
 *
 * A centre is ((sigmoid(x) - 0.5) * scaleXY + 0.5 + column) * stride, and likewise for rows; a width is the anchor's times
 * exp(w). Boxes may reach beyond the picture. Ordered by anchor, cell, class.
 *
 * @param values the head's numbers for this picture.
 * @param threshold in [0, 1).
 */
export function decodeHead(
  values: Float32Array,
  { anchors, stride, scaleXY }: Pick<Head, 'anchors' | 'stride' | 'scaleXY'>,
  layout: HeadLayout,
  { threshold, into }: { threshold: number; into: Candidates },
): void {
  const { rows, columns, channel, probabilities = false } = layout;
  const scale = probabilities ? plain : logistic;
  const least = scale.inverse(threshold);
  const center = (value: number, cell: number) => ((sigmoid(value) - 0.5) * scaleXY + 0.5 + cell) * stride;

  for (const [index, [anchorWidth, anchorHeight]] of anchors.entries()) {
    for (let cell = 0; cell < rows * columns; cell++) {
      const at = index * layout.anchor + cell * layout.cell;
      const value = (offset: number) => values[at + offset * channel] ?? Number.NaN;
      if (!(value(4) >= least)) continue;
      const objectness = scale.probability(value(4));
      const likely = likelyClasses(value, layout.classes, scale.inverse(threshold / objectness));
      if (likely.length === 0) continue;
      const [x, y] = [center(value(0), cell % columns), center(value(1), Math.floor(cell / columns))];
      const [halfWidth, halfHeight] = [(anchorWidth * Math.exp(value(2))) / 2, (anchorHeight * Math.exp(value(3))) / 2];
      const corners = [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight] as const;
      for (const category of likely) {
        into.add(category, objectness * scale.probability(value(boxChannels + category)), corners);
      }
    }
  }
}

/** How numbers stand for probabilities, and back. */
const plain = { probability: (value: number) => value, inverse: (probability: number) => probability };
const logistic = { probability: sigmoid, inverse: logit };

function likelyClasses(value: (offset: number) => number, classes: number, least: number): number[] {
  const likely: number[] = [];
  for (let category = 0; category < classes; category++) {
    if (value(boxChannels + category) >= least) likely.push(category);
  }
  return likely;
}

/**
 * Adds boxes that the graph has decoded: corners over the size in `boxes` [M, 1, 4], scores in `confs` [M, classes].
 *
 * @param size pixels of the network's input.
 */
export function readDecoded(
  boxes: Float32Array,
  confs: Float32Array,
  { size, classes }: { size: number; classes: number },
  { threshold, into }: { threshold: number; into: Candidates },
): void {
  for (let index = 0; index < confs.length; index++) {
    const score = confs[index] ?? Number.NaN;
    if (!(score >= threshold)) continue;
    const box = 4 * Math.floor(index / classes);
    const corner = (offset: number) => (boxes[box + offset] ?? Number.NaN) * size;
    into.add(index % classes, score, [corner(0), corner(1), corner(2), corner(3)]);
  }
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** The x whose sigmoid is p; -Infinity for 0, and Infinity from 1 on. */
function logit(p: number): number {
  return p < 1 ? Math.log(p / (1 - p)) : Number.POSITIVE_INFINITY;
}
