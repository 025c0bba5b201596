// Which detections of one category in one picture are right, by the rules of COCO's evaluation. A detection of a crowd, or
// of an object or size that is not asked for, is neither right nor wrong: it is ignored.

import { areaOf, type Box } from '../data/detection/boxes.js';
import type { BoxLabel } from '../data/detection/dataset.js';

/** A box that a detector found. */
export interface ScoredBox {
  readonly category: number;
  /** Any finite number: only the order counts. */
  readonly score: number;
  readonly box: Box;
}

/** From 0.50 to 0.95 in steps of 0.05, with the rounding of NumPy's `linspace`. */
export const IOU_THRESHOLDS: readonly number[] = Array.from(
  { length: 10 },
  (_, step) => 0.5 + step * ((0.95 - 0.5) / 9),
);

/** Square pixels, both ends inclusive. */
export type AreaRange = readonly [least: number, most: number];

/** Of each detection: bit `t` of `hits` says that it is right at threshold `t`, of `ignored` that it does not count. */
export interface Outcomes {
  /** Labels that count. */
  readonly truths: number;
  readonly hits: Int32Array;
  readonly ignored: Int32Array;
}

/** Labels and detections of a category in a picture. */
export class Pairing {
  readonly #labels: readonly BoxLabel[];
  readonly #areas: readonly number[];
  /** `[detections, labels]`. */
  readonly #overlaps: Float64Array;

  /** @param detections best first. */
  constructor(labels: readonly BoxLabel[], detections: readonly ScoredBox[]) {
    this.#labels = labels;
    this.#areas = detections.map(({ box }) => areaOf(box));
    this.#overlaps = Float64Array.from(detections.flatMap(({ box }) => labels.map((label) => overlap(box, label))));
  }

  /** Matches at every threshold, with labels and unmatched detections of other areas ignored. */
  match([least, most]: AreaRange): Outcomes {
    const outside = (area: number) => area < least || area > most;
    const skipped = this.#labels.map(({ crowd, area }) => crowd || outside(area));
    const order = [...skipped.keys()].sort((a, b) => Number(skipped[a]) - Number(skipped[b]));
    const hits = new Int32Array(this.#areas.length);
    const ignored = new Int32Array(this.#areas.length);
    for (const [bit, threshold] of IOU_THRESHOLDS.entries()) {
      for (const [detection, label] of this.#matchAt(threshold, order, skipped).entries()) {
        const counts = label === undefined ? !outside(this.#areas[detection] ?? 0) : !skipped[label];
        if (!counts) set(ignored, detection, bit);
        else if (label !== undefined) set(hits, detection, bit);
      }
    }
    return { truths: skipped.filter((skip) => !skip).length, hits, ignored };
  }

  /** In turn, best score first, each detection takes the label that it overlaps most of those that are free. */
  #matchAt(threshold: number, order: readonly number[], skipped: readonly boolean[]): (number | undefined)[] {
    const taken = new Set<number>();
    return this.#areas.map((_, detection) => {
      const label = this.#best(detection, threshold, { order, skipped, taken });
      if (label !== undefined) taken.add(label);
      return label;
    });
  }

  /** Any label that counts goes before one that does not. Of equal overlaps the last label is taken; crowds stay free. */
  #best(
    detection: number,
    threshold: number,
    { order, skipped, taken }: { order: readonly number[]; skipped: readonly boolean[]; taken: ReadonlySet<number> },
  ): number | undefined {
    let best: number | undefined;
    let highest = threshold;
    for (const label of order) {
      if (taken.has(label) && !this.#labels[label]?.crowd) continue;
      if (best !== undefined && !skipped[best] && skipped[label]) break;
      const value = this.#overlaps[detection * this.#labels.length + label] ?? 0;
      if (value < highest) continue;
      highest = value;
      best = label;
    }
    return best;
  }
}

function set(masks: Int32Array, index: number, bit: number): void {
  masks[index] = (masks[index] ?? 0) | (1 << bit);
}

/** Intersection over union; of a crowd over the detection, which may cover any part of it. */
function overlap(box: Box, label: BoxLabel): number {
  const width = Math.min(box[0] + box[2], label.box[0] + label.box[2]) - Math.max(box[0], label.box[0]);
  const height = Math.min(box[1] + box[3], label.box[1] + label.box[3]) - Math.max(box[1], label.box[1]);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / (label.crowd ? areaOf(box) : areaOf(box) + areaOf(label.box) - shared);
}
