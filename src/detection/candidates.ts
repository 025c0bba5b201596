// Boxes that passed the score threshold, in plain arrays: hundreds of thousands may pass a low one. Order of adding is
// kept, since it breaks ties of scores.

/** One picture's boxes before non-maximum suppression, in network pixels. */
export class Candidates {
  readonly categories: number[] = [];
  readonly scores: number[] = [];
  /** Four numbers a box: left, top, right, bottom. */
  readonly corners: number[] = [];

  get count(): number {
    return this.scores.length;
  }

  /** Adds a box; one with a corner or score that is not finite is no box, and left out. */
  add(category: number, score: number, [left, top, right, bottom]: readonly [number, number, number, number]): void {
    if (!Number.isFinite(left + top + right + bottom + score)) return;
    this.categories.push(category);
    this.scores.push(score);
    this.corners.push(left, top, right, bottom);
  }
}
