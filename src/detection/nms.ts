// Non-maximum suppression: of boxes of the same class that overlap, the best stays. Greedy, from the best score down;
// equal scores in the order in which they were decoded, so that the result is the same everywhere.
import type { Box } from '../data/detection/boxes.js';
import type { Candidates } from './candidates.js';

/** One object that was found. */
export interface Detection {
  /** Index into the classes. */
  readonly category: number;
  /** In [0, 1]. */
  readonly score: number;
  readonly box: Box;
}

export interface SuppressionOptions {
  /** A box goes whose overlap with a better one of its class is larger than this; in [0, 1]. */
  readonly iouThreshold: number;
  /** The best so many stay, of all classes together. */
  readonly maxDetections: number;
  /**
   * What overlap is: `iou`, intersection over union, or `diou`, which is less the farther the centres are from each
   * other (Zheng et al. 2020, arXiv 1911.08287), so that neighbours of a crowd survive. @default 'iou'
   */
  readonly overlap?: 'iou' | 'diou';
}

/** What stays, best first. */
export function suppress(
  candidates: Candidates,
  { iouThreshold, maxDetections, overlap = 'iou' }: SuppressionOptions,
): Detection[] {
  const { scores, categories, corners } = candidates;
  const order = Uint32Array.from(scores.keys()).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const measure = overlap === 'iou' ? iou : diou;
  const keptByCategory = new Map<number, number[]>();
  const detections: Detection[] = [];
  for (const index of order) {
    if (detections.length >= maxDetections) break;
    const category = categories[index] ?? 0;
    const kept = keptByCategory.get(category) ?? [];
    if (kept.some((better) => measure(corners, better, index) > iouThreshold)) continue;
    kept.push(index);
    keptByCategory.set(category, kept);
    const [left = 0, top = 0, right = 0, bottom = 0] = corners.slice(4 * index, 4 * index + 4);
    detections.push({ category, score: scores[index] ?? 0, box: [left, top, right - left, bottom - top] });
  }
  return detections;
}

/** Intersection over union of the boxes a and b; 0 where both are empty. */
function iou(corners: readonly number[], a: number, b: number): number {
  const at = (box: number, corner: number) => corners[4 * box + corner] ?? 0;
  const width = Math.min(at(a, 2), at(b, 2)) - Math.max(at(a, 0), at(b, 0));
  const height = Math.min(at(a, 3), at(b, 3)) - Math.max(at(a, 1), at(b, 1));
  if (width <= 0 || height <= 0) return 0;
  const area = (box: number) => (at(box, 2) - at(box, 0)) * (at(box, 3) - at(box, 1));
  return (width * height) / (area(a) + area(b) - width * height);
}

/** IoU less the squared distance of the centres over the squared diagonal of the box around both. */
function diou(corners: readonly number[], a: number, b: number): number {
  const at = (box: number, corner: number) => corners[4 * box + corner] ?? 0;
  const squares = (x: number, y: number) => x * x + y * y;
  const twiceApart = (low: number, high: number) => at(a, low) + at(a, high) - at(b, low) - at(b, high);
  const around = (low: number, high: number) => Math.max(at(a, high), at(b, high)) - Math.min(at(a, low), at(b, low));
  const diagonal = squares(around(0, 2), around(1, 3));
  return iou(corners, a, b) - (diagonal === 0 ? 0 : squares(twiceApart(0, 2), twiceApart(1, 3)) / 4 / diagonal);
}
