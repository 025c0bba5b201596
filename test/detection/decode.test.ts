// Decoding and non-maximum suppression on cases worked by hand.
import { describe, expect, it } from 'vitest';
import { Candidates } from '../../src/detection/candidates.js';
import { decodeHead, interleavedLayout, planarLayout, readDecoded } from '../../src/detection/decode.js';
import { suppress } from '../../src/detection/nms.js';

const head = {
  stride: 8,
  anchors: [
    [10, 20],
    [30, 40],
  ],
  scaleXY: 1.2,
} as const;
const [rows, columns, classes] = [2, 3, 2];
const step = 5 + classes;

/** A head where nothing is to be seen, with numbers put at (anchor, channel, row, column). */
function planar(
  entries: readonly (readonly [anchor: number, channel: number, row: number, column: number, value: number])[],
) {
  const values = new Float32Array(2 * step * rows * columns).fill(-20);
  for (const [anchor, channel, row, column, value] of entries) {
    values[((anchor * step + channel) * rows + row) * columns + column] = value;
  }
  return values;
}

function decode(values: Float32Array, threshold = 0.25, layout = planarLayout(rows, columns, classes)) {
  const into = new Candidates();
  decodeHead(values, head, layout, { threshold, into });
  return into;
}

const logit = (p: number) => Math.log(p / (1 - p));

describe('decodeHead', () => {
  // Anchor 1 in row 1, column 2: sigmoid(0) = 0.5 is the middle of the cell whatever the scale, sigmoid(logit(0.9)) with
  // scale 1.2 is 0.4 * 1.2 + 0.5 = 0.98 of it. exp(ln 2) = 2 anchors wide, exp(ln 0.5) = half an anchor high.
  const object = [
    [1, 0, 1, 2, 0],
    [1, 1, 1, 2, logit(0.9)],
    [1, 2, 1, 2, Math.log(2)],
    [1, 3, 1, 2, Math.log(0.5)],
    [1, 4, 1, 2, logit(0.8)],
    [1, 6, 1, 2, logit(0.5)],
  ] as const;

  function expectObject({ categories, scores, corners }: Candidates, score: number) {
    expect(categories).toEqual([1]);
    expect(scores[0]).toBeCloseTo(score, 6);
    const [x, y] = [(0.5 + 2) * 8, (0.98 + 1) * 8];
    for (const [index, expected] of [x - 30, y - 10, x + 30, y + 10].entries()) {
      expect(corners[index]).toBeCloseTo(expected, 4);
    }
  }

  it('has centre, size and score of a box', () => {
    expectObject(decode(planar(object)), 0.4);
  });

  it('reads the same numbers in the other order, as logits and as probabilities', () => {
    const layout = interleavedLayout(rows, columns, classes, 2);
    const values = new Float32Array(rows * columns * 2 * step).fill(-20);
    for (const [anchor, channel, row, column, value] of object) {
      values[((row * columns + column) * 2 + anchor) * step + channel] = value;
    }
    expectObject(decode(values, 0.25, layout), 0.4);
    for (let index = 0; index < values.length; index++) {
      if (index % step > 3) values[index] = 1 / (1 + Math.exp(-(values[index] ?? 0)));
    }
    expectObject(decode(values, 0.25, { ...layout, probabilities: true }), 0.4);
  });

  it('gives one box a class over the threshold, in the order of anchors, cells and classes', () => {
    const sure = [0, 1, 2, 3].map((channel) => [0, channel, 0, 0, 0] as const);
    const values = planar([...object, ...sure, [0, 4, 0, 0, 30], [0, 5, 0, 0, logit(0.3)], [0, 6, 0, 0, logit(0.6)]]);
    const { categories, scores, corners } = decode(values);
    expect(categories).toEqual([0, 1, 1]);
    expect(scores.map((score) => Number(score.toFixed(6)))).toEqual([0.3, 0.6, 0.4]);
    expect(corners.slice(0, 4)).toEqual(corners.slice(4, 8));
    expect(corners.slice(0, 4)).toEqual([4 - 5, 4 - 10, 4 + 5, 4 + 10]);
  });

  it('is the slow way by definition, at any threshold', () => {
    let state = 1;
    const values = planar([]).map(() => {
      state = (state * 48_271) % 2_147_483_647;
      return (state / 2_147_483_647 - 0.5) * 8;
    });
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    for (const threshold of [0, 0.001, 0.1, 0.5, 0.9]) {
      const expected: number[] = [];
      for (let at = 0; at < 2 * rows * columns * classes; at++) {
        const [anchor, cell, category] = [Math.floor(at / 12), Math.floor(at / 2) % 6, at % 2];
        const value = (channel: number) => values[(anchor * step + channel) * 6 + cell] ?? 0;
        const score = sigmoid(value(4)) * sigmoid(value(5 + category));
        if (score >= threshold) expected.push(score);
      }
      const { scores } = decode(values, threshold);
      expect(scores).toHaveLength(expected.length);
      for (const [index, score] of scores.entries()) expect(score).toBeCloseTo(expected[index] ?? 0, 12);
    }
    expect(decode(values, 0).count).toBe(24);
  });

  it('leaves out boxes that are no boxes', () => {
    const values = planar(object);
    for (const bad of [Number.NaN, 1e5, Number.POSITIVE_INFINITY]) {
      for (const channel of [2, 3]) values[((step + channel) * rows + 1) * columns + 2] = bad;
      expect(decode(values).count).toBe(0);
    }
  });
});

describe('readDecoded', () => {
  it('multiplies corners with the size', () => {
    const into = new Candidates();
    const boxes = Float32Array.of(0, 0, 0, 0, 0.25, 0.5, 0.75, 1);
    const confs = Float32Array.of(0.1, 0.2, 0.1, 0, 0, 0.5);
    readDecoded(boxes, confs, { size: 100, classes: 3 }, { threshold: 0.3, into });
    expect(into).toMatchObject({ categories: [2], scores: [0.5], corners: [25, 50, 75, 100] });
  });
});

describe('suppress', () => {
  const options = { iouThreshold: 0.45, maxDetections: 100 };

  function candidates(
    ...boxes: readonly [category: number, score: number, ...corners: [number, number, number, number]][]
  ) {
    const into = new Candidates();
    for (const [category, score, ...corners] of boxes) into.add(category, score, corners);
    return into;
  }

  it('keeps the best of those that overlap, class by class, best first', () => {
    const found = suppress(
      candidates(
        [0, 0.5, 0, 0, 10, 10],
        [0, 0.9, 1, 0, 11, 10], // IoU with the first 90 / 110
        [1, 0.6, 0, 0, 10, 10], // another class
        [0, 0.7, 5, 0, 15, 10], // IoU with the second 60 / 140 = 0.43
        [0, 0.4, 4, 0, 14, 10], // IoU with the second 70 / 130 = 0.54
      ),
      options,
    );
    expect(found).toEqual([
      { category: 0, score: 0.9, box: [1, 0, 10, 10] },
      { category: 0, score: 0.7, box: [5, 0, 10, 10] },
      { category: 1, score: 0.6, box: [0, 0, 10, 10] },
    ]);
  });

  it('suppresses above the threshold, not at it', () => {
    const pair = candidates([0, 0.9, 0, 0, 2, 1], [0, 0.8, 1, 0, 3, 1]); // 1 / 3
    expect(suppress(pair, { ...options, iouThreshold: 1 / 3 })).toHaveLength(2);
    expect(suppress(pair, { ...options, iouThreshold: 0.33 })).toHaveLength(1);
    expect(
      suppress(candidates([0, 0.9, 0, 0, 2, 1], [0, 0.8, 0, 0, 2, 1]), { ...options, iouThreshold: 1 }),
    ).toHaveLength(2);
  });

  it('does not let a box that has gone suppress others', () => {
    const chain = candidates([0, 0.9, 0, 0, 10, 10], [0, 0.8, 4, 0, 14, 10], [0, 0.7, 8, 0, 18, 10]);
    expect(suppress(chain, { ...options, iouThreshold: 0.4 }).map(({ score }) => score)).toEqual([0.9, 0.7]);
  });

  it('takes equal scores in their order, and no more than asked for', () => {
    const many = candidates(
      ...[3, 1, 2, 0].map(
        (category) => [category, 0.5, 0, 0, 1, 1] as [number, number, number, number, number, number],
      ),
    );
    expect(suppress(many, options).map(({ category }) => category)).toEqual([3, 1, 2, 0]);
    expect(suppress(many, { ...options, maxDetections: 2 }).map(({ category }) => category)).toEqual([3, 1]);
    expect(suppress(new Candidates(), options)).toEqual([]);
  });

  it('with DIoU spares boxes whose centres are apart', () => {
    // IoU 60 / 140 = 0.4286; centres 4 apart, the box around both is 14 x 10: 16 / 296 = 0.054 less.
    const pair = candidates([0, 0.9, 0, 0, 10, 10], [0, 0.8, 4, 0, 14, 10]);
    const at = (iouThreshold: number, overlap: 'iou' | 'diou') =>
      suppress(pair, { ...options, iouThreshold, overlap }).length;
    expect([at(0.42, 'iou'), at(0.43, 'iou')]).toEqual([1, 2]);
    expect([at(0.374, 'diou'), at(0.375, 'diou')]).toEqual([1, 2]);
  });

  it('takes boxes without area', () => {
    expect(
      suppress(candidates([0, 0.9, 5, 5, 5, 5], [0, 0.8, 5, 5, 5, 5]), { ...options, overlap: 'diou' }),
    ).toHaveLength(2);
  });
});
