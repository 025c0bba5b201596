// What a network should have predicted: which of its predictions answer for which boxes, as tensors for the loss
// (loss.ts). Plain code, outside the graph. Equal labels give equal targets.
import type { BoxLabel } from '../data/detection/dataset.js';
import type { Feeds } from '../data/feeds.js';
import { checkNumber } from '../options.js';
import { type CellGrid, gridsOf } from './cells.js';
import type { DetectionNetwork } from './heads.js';

/** Inputs of the loss. N images of K predictions; P predictions that answer for a box, at least 1. */
export const targetNames = {
  /** float32 [N, K]: 1 an object, 0 none, -1 counts nothing (in a crowd). */
  objectness: 'targets/objectness',
  /** float32 [N * M, 4]: left, top, width, height of M boxes an image, zeros where it has fewer. */
  truths: 'targets/truths',
  /** int64 [P]: image * K + prediction. */
  positives: 'targets/positives',
  /** float32 [P, 4]: the box that each answers for. */
  boxes: 'targets/boxes',
  /** int64 [P] */
  classes: 'targets/classes',
  /** float32 [P]: 1; 0 for the one row of a batch without boxes. */
  weights: 'targets/weights',
} as const;

export interface TargetOptions {
  /**
   * Besides the anchor whose shape fits a box best, those whose intersection over union with it is at least this
   * answer for it too, (0, 1]; 1 is the best only. @default 0.213, as in yolov4.cfg
   */
  matchThreshold?: number | undefined;
}

interface Positive {
  readonly prediction: number;
  /** Intersection over union of box and anchor, both at one corner. */
  readonly fit: number;
  readonly label: BoxLabel;
}

/** Assigns boxes to predictions. Boxes are in pixels of the network's input. */
export class TargetAssigner {
  readonly #grids: readonly CellGrid[];
  readonly #predictions: number;
  readonly #matchThreshold: number;

  /** @throws SecateurError INVALID_OPTION */
  constructor(network: DetectionNetwork, { matchThreshold = 0.213 }: TargetOptions = {}) {
    checkNumber('matchThreshold', matchThreshold, { least: Number.MIN_VALUE, most: 1 });
    this.#grids = gridsOf(network);
    this.#predictions = this.#grids.reduce((sum, { side }) => sum + side * side, 0);
    this.#matchThreshold = matchThreshold;
  }

  /** The loss's inputs for a batch, one list of labels an image. */
  assign(labels: readonly (readonly BoxLabel[])[]): Feeds {
    const images = labels.map((list) => list.filter(({ box: [, , width, height] }) => width > 0 && height > 0));
    const positives = images.flatMap((list, image) =>
      this.#positivesOf(list.filter(({ crowd }) => !crowd)).map((each) => ({
        ...each,
        prediction: image * this.#predictions + each.prediction,
      })),
    );
    return { ...this.#dense(images, positives), ...sparse(positives) };
  }

  /** By prediction. Where two boxes want the same, the one that fits its anchor better gets it; the first if equal. */
  #positivesOf(labels: readonly BoxLabel[]): Positive[] {
    const taken = new Map<number, Positive>();
    for (const label of labels) {
      const fits = this.#grids.map(({ anchor }) => shapeOverlap(label, anchor));
      const best = Math.max(...fits);
      for (const [index, grid] of this.#grids.entries()) {
        const fit = fits[index] ?? 0;
        if (fit < Math.min(best, this.#matchThreshold)) continue;
        const prediction = cellOf(grid, label);
        if (fit > (taken.get(prediction)?.fit ?? 0)) taken.set(prediction, { prediction, fit, label });
      }
    }
    return [...taken.values()].sort((a, b) => a.prediction - b.prediction);
  }

  #dense(images: readonly (readonly BoxLabel[])[], positives: readonly Positive[]): Feeds {
    const objectness = new Float32Array(images.length * this.#predictions);
    const most = Math.max(1, ...images.map((labels) => labels.filter(({ crowd }) => !crowd).length));
    const truths = new Float32Array(images.length * most * 4);
    for (const [image, labels] of images.entries()) {
      const own = objectness.subarray(image * this.#predictions, (image + 1) * this.#predictions);
      for (const { box } of labels.filter(({ crowd }) => crowd)) this.#ignore(own, box);
      const boxes = labels.filter(({ crowd }) => !crowd).flatMap(({ box }) => box);
      truths.set(boxes, image * most * 4);
    }
    for (const { prediction } of positives) objectness[prediction] = 1;
    return {
      [targetNames.objectness]: { data: objectness, dims: [images.length, this.#predictions] },
      [targetNames.truths]: { data: truths, dims: [images.length * most, 4] },
    };
  }

  /** Cells whose centre lies in a crowd: whether they show an object, nobody has said. */
  #ignore(objectness: Float32Array, [left, top, width, height]: BoxLabel['box']): void {
    for (const { start, side, stride } of this.#grids) {
      for (let cell = 0; cell < side * side; cell++) {
        const x = ((cell % side) + 0.5) * stride - left;
        const y = (Math.floor(cell / side) + 0.5) * stride - top;
        if (x >= 0 && x < width && y >= 0 && y < height) objectness[start + cell] = -1;
      }
    }
  }
}

/** The prediction of a grid in whose cell the box has its centre. */
function cellOf({ start, side, stride }: CellGrid, { box: [left, top, width, height] }: BoxLabel): number {
  const inside = (centre: number) => Math.min(side - 1, Math.max(0, Math.floor(centre / stride)));
  return start + inside(top + height / 2) * side + inside(left + width / 2);
}

/** Intersection over union of a box and an anchor that share a corner. */
function shapeOverlap({ box: [, , width, height] }: BoxLabel, [anchorWidth, anchorHeight]: CellGrid['anchor']): number {
  const common = Math.min(width, anchorWidth) * Math.min(height, anchorHeight);
  return common / (width * height + anchorWidth * anchorHeight - common);
}

/** A batch without boxes has one row of weight 0: the runtime takes no empty tensors. */
function sparse(positives: readonly Positive[]): Feeds {
  const rows = Math.max(1, positives.length);
  const boxes = Float32Array.from(
    positives.length === 0 ? [0, 0, 1, 1] : positives.flatMap(({ label: { box } }) => box),
  );
  const column = <T>(values: readonly T[], empty: T) => (values.length === 0 ? [empty] : values);
  const indices = positives.map(({ prediction }) => BigInt(prediction));
  const categories = positives.map(({ label }) => BigInt(label.category));
  return {
    [targetNames.positives]: { data: BigInt64Array.from(column(indices, 0n)), dims: [rows] },
    [targetNames.boxes]: { data: boxes, dims: [rows, 4] },
    [targetNames.classes]: { data: BigInt64Array.from(column(categories, 0n)), dims: [rows] },
    [targetNames.weights]: { data: new Float32Array(rows).fill(positives.length === 0 ? 0 : 1), dims: [rows] },
  };
}
