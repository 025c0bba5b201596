// COCO's metrics of detections: average precision and recall over overlaps, sizes and categories, by the rules that
// pycocotools publishes. From boxes alone: knows no model and no picture.

import type { BoxLabel } from '../data/detection/dataset.js';
import { SecateurError } from '../errors.js';
import { checkNumber } from '../options.js';
import { type AreaRange, IOU_THRESHOLDS, Pairing, type ScoredBox } from './coco-matching.js';

export type { ScoredBox };

/** All in [0, 1]; null where no label counts. Averages over the categories that have labels. */
export interface DetectionMetrics {
  /** Average precision over overlaps of 0.50, 0.55, ... 0.95 (IoU), with 101 points of recall: COCO's main number. */
  readonly ap: number | null;
  /** At an overlap of 0.50. */
  readonly ap50: number | null;
  /** At an overlap of 0.75. */
  readonly ap75: number | null;
  /** Of objects of at most 32 x 32 pixels. */
  readonly apSmall: number | null;
  /** Of objects between those. */
  readonly apMedium: number | null;
  /** Of objects of at least 96 x 96 pixels. */
  readonly apLarge: number | null;
  /** Average recall with one detection for each picture and category. */
  readonly ar1: number | null;
  readonly ar10: number | null;
  readonly ar100: number | null;
  readonly arSmall: number | null;
  readonly arMedium: number | null;
  readonly arLarge: number | null;
}

/** What a category is worth. */
export interface CategoryMetrics {
  readonly category: number;
  /** Labels that count, without crowds. */
  readonly labels: number;
  readonly ap: number | null;
  readonly ap50: number | null;
  readonly ar100: number | null;
}

const AREAS = {
  all: [0, 1e10],
  small: [0, 32 ** 2],
  medium: [32 ** 2, 96 ** 2],
  large: [96 ** 2, 1e10],
} as const satisfies Record<string, AreaRange>;
type AreaName = keyof typeof AREAS;
const AREA_NAMES = Object.keys(AREAS) as AreaName[];

/** Detections of a category that count in a picture. */
const MOST_DETECTIONS = 100;
/** With the rounding of NumPy's `linspace`. */
const RECALLS: readonly number[] = Array.from({ length: 101 }, (_, step) => step * 0.01);
const EVERY_IOU = [...IOU_THRESHOLDS.keys()];
const [AT_50, AT_75] = [0, 5];

/** A detection as far as metrics go: see {@link Outcomes} for the bits. */
interface Counted {
  readonly score: number;
  /** Sorts equal scores, so that the order in which pictures come does not matter. */
  readonly image: number;
  /** Among those of its picture and category, best first, from 0. */
  readonly rank: number;
  readonly hits: number;
  readonly ignored: number;
}

/** A category in a range of areas. */
interface Tally {
  truths: number;
  readonly detections: Counted[];
}

/**
 * Counts picture by picture.
 *
 * @example
 * const metrics = new CocoMetrics(80);
 * for (const image of dataset.images) metrics.add(image, await detect(image));
 * console.log(metrics.result.ap50);
 */
export class CocoMetrics {
  readonly #tallies: readonly Record<AreaName, Tally>[];

  /** @param classes categories are in `[0, classes)`. */
  constructor(classes: number) {
    checkNumber('classes', classes, { least: 1, most: 2 ** 16, whole: true });
    this.#tallies = Array.from({ length: classes }, () => {
      const empty = AREA_NAMES.map((name) => [name, { truths: 0, detections: [] }]);
      return Object.fromEntries(empty) as Record<AreaName, Tally>;
    });
  }

  /**
   * A picture's labels and detections, in the same pixels.
   *
   * @param id differs from picture to picture.
   * @param detections in any order; of equal scores the first goes first.
   * @throws SecateurError INVALID_DATA where a category is out of range or a number is not finite.
   */
  add({ id, labels }: { id: number; labels: readonly BoxLabel[] }, detections: readonly ScoredBox[]): void {
    const categories = this.#tallies.length;
    for (const detection of detections) checkDetection(detection, categories);
    const used = new Set([...labels, ...detections].map(({ category }) => category));
    for (const category of used) {
      const tallies = this.#tallies[category];
      if (tallies === undefined) throw wrongCategory('label', category, categories);
      const own = <Item extends { category: number }>(items: readonly Item[]) =>
        items.filter((item) => item.category === category);
      const best = own(detections).toSorted((a, b) => b.score - a.score);
      count(tallies, id, { labels: own(labels), detections: best.slice(0, MOST_DETECTIONS) });
    }
  }

  /** Of all pictures so far. */
  get result(): DetectionMetrics {
    const ap = (area: AreaName, thresholds = EVERY_IOU) =>
      this.#mean((tallies) => averagePrecision(tallies[area], thresholds));
    const ar = (area: AreaName, most = MOST_DETECTIONS) => this.#mean((tallies) => averageRecall(tallies[area], most));
    return {
      ap: ap('all'),
      ap50: ap('all', [AT_50]),
      ap75: ap('all', [AT_75]),
      apSmall: ap('small'),
      apMedium: ap('medium'),
      apLarge: ap('large'),
      ar1: ar('all', 1),
      ar10: ar('all', 10),
      ar100: ar('all'),
      arSmall: ar('small'),
      arMedium: ar('medium'),
      arLarge: ar('large'),
    };
  }

  /** Of every category, in order. */
  get categories(): CategoryMetrics[] {
    return this.#tallies.map(({ all }, category) => ({
      category,
      labels: all.truths,
      ap: averagePrecision(all, EVERY_IOU),
      ap50: averagePrecision(all, [AT_50]),
      ar100: averageRecall(all, MOST_DETECTIONS),
    }));
  }

  #mean(of: (tallies: Record<AreaName, Tally>) => number | null): number | null {
    const values = this.#tallies.map(of).filter((value) => value !== null);
    return values.length === 0 ? null : mean(values);
  }
}

function checkDetection({ category, score, box }: ScoredBox, categories: number): void {
  if (!(Number.isInteger(category) && category >= 0 && category < categories)) {
    throw wrongCategory('detection', category, categories);
  }
  if (Number.isFinite(score) && box.every(Number.isFinite)) return;
  const got = `score ${score} and box [${box.join(', ')}]`;
  throw new SecateurError('INVALID_DATA', `Expected a detection's score and box to be finite numbers, got ${got}`);
}

function wrongCategory(what: string, category: number, categories: number): SecateurError {
  const message = `Expected the category of a ${what} to be a whole number in [0, ${categories}), got ${category}`;
  return new SecateurError('INVALID_DATA', message);
}

function count(
  tallies: Record<AreaName, Tally>,
  image: number,
  { labels, detections }: { labels: readonly BoxLabel[]; detections: readonly ScoredBox[] },
): void {
  const pairing = new Pairing(labels, detections);
  for (const name of AREA_NAMES) {
    const { truths, hits, ignored } = pairing.match(AREAS[name]);
    tallies[name].truths += truths;
    for (const [rank, { score }] of detections.entries()) {
      const outcome = { hits: hits[rank] ?? 0, ignored: ignored[rank] ?? 0 };
      tallies[name].detections.push({ score, image, rank, ...outcome });
    }
  }
}

function averagePrecision({ truths, detections }: Tally, thresholds: readonly number[]): number | null {
  if (truths === 0) return null;
  const ordered = detections.toSorted((a, b) => b.score - a.score || a.image - b.image || a.rank - b.rank);
  return mean(thresholds.map((bit) => areaUnderCurve(ordered, truths, bit)));
}

/** The mean over recalls of the highest precision that is reached at that recall or beyond; 0 where it is not reached. */
function areaUnderCurve(ordered: readonly Counted[], truths: number, bit: number): number {
  const right = ordered.filter(({ ignored }) => !isSet(ignored, bit)).map(({ hits }) => isSet(hits, bit));
  let found = 0;
  const recalls: number[] = [];
  const precisions: number[] = [];
  for (const [index, hit] of right.entries()) {
    if (hit) found++;
    recalls.push(found / truths);
    precisions.push(found / (index + 1));
  }
  for (let index = right.length - 2; index >= 0; index--) {
    precisions[index] = Math.max(precisions[index] ?? 0, precisions[index + 1] ?? 0);
  }
  let at = 0;
  const reached = RECALLS.map((wanted) => {
    while (at < right.length && (recalls[at] ?? 0) < wanted) at++;
    return precisions[at] ?? 0;
  });
  return mean(reached);
}

function averageRecall({ truths, detections }: Tally, most: number): number | null {
  if (truths === 0) return null;
  const counted = detections.filter(({ rank }) => rank < most);
  return mean(EVERY_IOU.map((bit) => counted.filter(({ hits }) => isSet(hits, bit)).length / truths));
}

function isSet(bits: number, bit: number): boolean {
  return (bits & (1 << bit)) !== 0;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
