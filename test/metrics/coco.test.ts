// COCO's metrics against cases worked by hand, one for each rule, and against what must hold for any detections.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Box } from '../../src/data/detection/boxes.js';
import type { BoxLabel } from '../../src/data/detection/dataset.js';
import { CocoMetrics, type ScoredBox } from '../../src/metrics/coco.js';
import { failure } from '../data/helpers.js';

const truth = (box: Box, more: Partial<BoxLabel> = {}): BoxLabel => ({
  category: 0,
  box,
  crowd: false,
  area: box[2] * box[3],
  ...more,
});
const found = (score: number, box: Box, category = 0): ScoredBox => ({ score, box, category });
/** Metrics of pictures, each with its labels and detections. */
function measure(
  pictures: readonly (readonly [labels: readonly BoxLabel[], detections: readonly ScoredBox[]])[],
  classes = 1,
) {
  const metrics = new CocoMetrics(classes);
  for (const [id, [labels, detections]] of pictures.entries()) metrics.add({ id, labels }, detections);
  return metrics;
}
const one = (labels: readonly BoxLabel[], detections: readonly ScoredBox[]) => measure([[labels, detections]]).result;

const A: Box = [0, 0, 50, 50];
const B: Box = [100, 0, 50, 50];
const NOWHERE: Box = [300, 300, 50, 50];

describe('precision over recall', () => {
  test('right, wrong, right: of two objects', () => {
    // Recalls 1/2, 1/2, 1; precisions 1, 1/2, 2/3: the 51 points up to 0.5 have 1, the other 50 have 2/3.
    const { ap, ap50, ap75, ar100 } = one([truth(A), truth(B)], [found(0.9, A), found(0.8, NOWHERE), found(0.7, B)]);
    const expected = (51 + 50 * (2 / 3)) / 101;
    for (const value of [ap, ap50, ap75]) expect(value).toBeCloseTo(expected, 12);
    expect(ar100).toBe(1);
  });

  test('an object that is never found', () => {
    // Recall ends at 1/2: 51 points have precision 1, and the 50 beyond have 0.
    expect(one([truth(A), truth(B)], [found(0.9, A)])).toMatchObject({
      ap50: expect.closeTo(51 / 101, 12),
      ar100: 0.5,
    });
  });

  test('a precision that rises again counts for lower recalls', () => {
    // Wrong, right, right: precisions 0, 1/2, 2/3 at recalls 0, 1/2, 1: every point has 2/3.
    expect(one([truth(A), truth(B)], [found(0.9, NOWHERE), found(0.8, A), found(0.7, B)]).ap50).toBeCloseTo(2 / 3, 12);
  });

  test('detections of all pictures are ranked together', () => {
    // By score: wrong (2nd picture, 0.9), right (1st picture, 0.5): precision 1/2 at recall 1.
    const pictures = [[[truth(A)], [found(0.5, A)]] as const, [[], [found(0.9, A)]] as const];
    expect(measure(pictures).result.ap50).toBe(0.5);
  });
});

describe('matching', () => {
  test('each threshold on its own', () => {
    // 40 of 50 rows are covered, nothing else: an overlap of 0.8 is right at 0.50, ..., 0.80: 7 of 10 thresholds.
    const { ap, ap50, ap75, ar100 } = one([truth(A)], [found(0.9, [0, 0, 50, 40])]);
    expect([ap, ap50, ap75, ar100]).toEqual([0.7, 1, 1, 0.7]);
  });

  test('an overlap of exactly the threshold is right, one below is not', () => {
    expect(one([truth(A)], [found(1, [0, 0, 50, 25])]).ap50).toBe(1);
    expect(one([truth(A)], [found(1, [0, 0, 50, 24.99])]).ap50).toBe(0);
    expect(one([truth(A)], [found(1, [0, 0, 100, 75])]).ap50).toBe(0);
  });

  test('the best score takes an object, and a second detection of it is wrong', () => {
    // The second detection fits better, but comes later: at 0.50 right, wrong.
    const rough: Box = [0, 0, 50, 40];
    const { ap50, ap75, ar1 } = one([truth(A), truth(B)], [found(0.8, A), found(0.9, rough), found(0.7, B)]);
    expect(ap50).toBeCloseTo((51 + 50 * (2 / 3)) / 101, 12);
    expect(ap75).toBeCloseTo((51 + 50 * (2 / 3)) / 101, 12);
    // Of one detection a picture, the rough one is right at 7 thresholds, for one of the two objects.
    expect(ar1).toBeCloseTo(0.35, 12);
  });

  test('a detection takes the object that it overlaps most', () => {
    // The first detection overlaps both; it must leave the other object to the second.
    const [left, right]: Box[] = [
      [0, 0, 10, 10],
      [2, 0, 10, 10],
    ];
    const labels = [truth(left!), truth(right!)];
    expect(one(labels, [found(0.9, right!), found(0.8, left!)])).toMatchObject({ ap: 1, ar100: 1 });
  });

  test('of equal scores the first goes first', () => {
    const rough: Box = [0, 0, 50, 30];
    expect(one([truth(A)], [found(0.5, A), found(0.5, rough)]).ap).toBe(1);
    // The rough one is right at 0.50, 0.55 and 0.60; where it is wrong, the other is right after it: precision 1/2.
    expect(one([truth(A)], [found(0.5, rough), found(0.5, A)]).ap).toBeCloseTo((3 + 7 * 0.5) / 10, 12);
  });

  test('other categories and other pictures are no matches', () => {
    const wrong = measure(
      [
        [[truth(A)], [found(0.9, A, 1)]],
        [[], [found(0.9, A)]],
      ],
      2,
    );
    expect(wrong.result).toMatchObject({ ap: 0, ar100: 0 });
    expect(wrong.categories).toEqual([
      { category: 0, labels: 1, ap: 0, ap50: 0, ar100: 0 },
      { category: 1, labels: 0, ap: null, ap50: null, ar100: null },
    ]);
  });
});

describe('crowds', () => {
  const crowd = truth([100, 100, 100, 100], { crowd: true });

  test('overlap is over the detection, any number matches, and none counts', () => {
    // Ten by ten pixels inside: 1% of the union, but all of the detection.
    const inside = [0, 20, 40].map((offset) => found(0.99, [120 + offset, 120, 10, 10]));
    expect(one([truth(A), crowd], [...inside, found(0.5, A)])).toMatchObject({ ap: 1, ar100: 1 });
  });

  test('a detection that is less than half inside is wrong', () => {
    // Before the right one: precision 1/2 at every recall.
    expect(one([truth(A), crowd], [found(0.9, [80, 100, 39, 10]), found(0.5, A)]).ap50).toBe(0.5);
    expect(one([truth(A), crowd], [found(0.9, [80, 100, 40, 10]), found(0.5, A)]).ap50).toBe(1);
  });

  test('an object goes before a crowd that is overlapped more', () => {
    // All of the detection is in the crowd, 80% of it is the object: the object is found all the same.
    const labels = [truth([100, 100, 100, 100], { crowd: true }), truth([110, 110, 50, 50])];
    const { ap50, ap75, ar100 } = one(labels, [found(0.9, [110, 110, 50, 40])]);
    expect([ap50, ap75]).toEqual([1, 1]);
    // Above 0.80 it is the crowd's, so the object stays unfound.
    expect(ar100).toBe(0.7);
  });

  test('an object that is taken leaves the second detection to the crowd', () => {
    const labels = [truth([110, 110, 50, 50]), crowd];
    const box: Box = [110, 110, 50, 50];
    expect(one(labels, [found(0.9, box), found(0.8, box)])).toMatchObject({ ap: 1, ar100: 1 });
  });

  test('only crowds: nothing to find', () => {
    expect(one([crowd], [found(0.9, A)])).toMatchObject({ ap: null, ar100: null });
  });
});

describe('sizes', () => {
  const small: Box = [0, 0, 32, 32];
  const medium: Box = [100, 0, 96, 96];
  const large: Box = [300, 0, 97, 96];

  test('by area, both ends of a range inside', () => {
    const { apSmall, apMedium, apLarge, arSmall, arMedium, arLarge } = one(
      [truth(small), truth(medium), truth(large)],
      [found(0.9, small)],
    );
    // The 32 x 32 object is small and medium, the 96 x 96 one medium and large.
    expect([apSmall, apLarge]).toEqual([1, 0]);
    expect(apMedium).toBeCloseTo(51 / 101, 12);
    expect([arSmall, arMedium, arLarge]).toEqual([1, 0.5, 0]);
  });

  test("the label's own area decides, not its box's", () => {
    const thin = truth([0, 0, 100, 100], { area: 500 });
    const { apSmall, apMedium, apLarge } = one([thin], [found(0.9, [0, 0, 100, 100])]);
    expect([apSmall, apMedium, apLarge]).toEqual([1, null, null]);
  });

  test('what is matched to an object of another size is ignored, and so is what is unmatched and of another size', () => {
    const labels = [truth([0, 0, 20, 20]), truth([100, 0, 100, 100])];
    const detections = [
      found(0.9, [100, 0, 100, 100]),
      found(0.8, [400, 0, 100, 100]),
      found(0.7, [400, 0, 20, 20]),
      found(0.6, [0, 0, 20, 20]),
    ];
    const { apSmall, apMedium, apLarge, ap50 } = one(labels, detections);
    // Small: the first two are ignored; wrong, right. Large: right, wrong, and the last two ignored.
    expect([apSmall, apMedium, apLarge]).toEqual([0.5, null, 1]);
    // All: right, wrong, wrong, right: precisions 1 and 1/2.
    expect(ap50).toBeCloseTo((51 + 50 / 2) / 101, 12);
  });

  test('an object that counts goes before one of another size that is overlapped more', () => {
    // Both are on the same place: the one of area 1024 is small, the other (1156) is not.
    const labels = [truth([0, 0, 34, 34]), truth([0, 0, 32, 32])];
    expect(one(labels, [found(0.9, [0, 0, 33.5, 33.5])])).toMatchObject({ apSmall: 0.9, arSmall: 0.9 });
  });
});

describe('numbers of detections', () => {
  test('at most 1, 10 and 100 a picture and category count', () => {
    const boxes = Array.from({ length: 120 }, (_, index): Box => [60 * index, 0, 50, 50]);
    const detections = boxes.map((box, index) => found(1 - index / 1000, box));
    const { ar1, ar10, ar100 } = one(
      boxes.map((box) => truth(box)),
      detections,
    );
    expect(ar1).toBeCloseTo(1 / 120, 12);
    expect(ar10).toBeCloseTo(10 / 120, 12);
    expect(ar100).toBeCloseTo(100 / 120, 12);
  });

  test('the hundred best, whatever their order', () => {
    const noise = Array.from({ length: 100 }, () => found(0.4, NOWHERE));
    expect(one([truth(A)], [...noise, found(0.5, A)])).toMatchObject({ ap: 1, ar1: 1 });
    expect(one([truth(A)], [found(0.3, A), ...noise])).toMatchObject({ ap: 0, ar100: 0 });
  });
});

describe('means', () => {
  test('over categories that have labels; others, and what is found of them, do not count', () => {
    const labels = [truth(A), truth(B, { category: 2 })];
    const metrics = measure([[labels, [found(0.9, A, 0), found(0.8, A, 1)]]], 4);
    expect(metrics.result).toMatchObject({ ap: 0.5, ar100: 0.5 });
    expect(metrics.categories.map(({ ap, labels: count }) => [ap, count])).toEqual([
      [1, 1],
      [null, 0],
      [0, 1],
      [null, 0],
    ]);
  });

  test('nothing at all', () => {
    expect(Object.values(new CocoMetrics(3).result)).toEqual(Array.from({ length: 12 }, () => null));
  });

  test('labels without any detection', () => {
    expect(one([truth(A)], [])).toMatchObject({ ap: 0, ar1: 0, apSmall: null, apMedium: 0 });
  });
});

describe('for any boxes', () => {
  const side = fc.integer({ min: 1, max: 150 });
  const box = fc.tuple(fc.nat(300), fc.nat(300), side, side) as fc.Arbitrary<Box>;
  const category = fc.nat(2);
  const label = fc.record({ category, box, crowd: fc.boolean(), area: fc.integer({ min: 1, max: 20_000 }) });
  const score = fc.integer({ min: 0, max: 9 }).map((tenths) => tenths / 10);
  const detection = fc.record({ category, box, score });
  const picture = fc.tuple(fc.array(label, { maxLength: 6 }), fc.array(detection, { maxLength: 8 }));
  const pictures = fc.array(picture, { maxLength: 6 });

  test('what is found exactly is worth 1 everywhere', () => {
    fc.assert(
      fc.property(fc.array(fc.uniqueArray(label, { maxLength: 6, selector: ({ box }) => box.join() })), (sets) => {
        const exact = sets.map((labels) => {
          const objects = labels.map((one) => ({ ...one, crowd: false, area: one.box[2] * one.box[3] }));
          return [objects, objects.map((one, index) => found(index, one.box, one.category))] as const;
        });
        for (const [name, value] of Object.entries(measure(exact, 3).result)) {
          if (name !== 'ar1' && value !== null) expect(value, name).toBeCloseTo(1, 12);
        }
      }),
    );
  });

  test('the order of pictures does not matter, not even among equal scores', () => {
    const shuffled = pictures.chain((set) =>
      fc.tuple(
        fc.constant(set),
        fc.shuffledSubarray([...set.keys()], { minLength: set.length, maxLength: set.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([set, order]) => {
        const [inOrder, inOther] = [new CocoMetrics(3), new CocoMetrics(3)];
        for (const [id, [labels, detections]] of set.entries()) inOrder.add({ id, labels }, detections);
        for (const id of order) inOther.add({ id, labels: set[id]![0] }, set[id]![1]);
        expect(inOther.result).toEqual(inOrder.result);
        expect(inOther.categories).toEqual(inOrder.categories);
      }),
    );
  });

  test('all in [0, 1], more detections find no less, and a wrong one after all others changes nothing', () => {
    fc.assert(
      fc.property(pictures, (set) => {
        const { result } = measure(set, 3);
        for (const value of Object.values(result)) {
          if (value !== null) expect(value >= 0 && value <= 1).toBe(true);
        }
        expect((result.ar1 ?? 0) <= (result.ar10 ?? 0) && (result.ar10 ?? 0) <= (result.ar100 ?? 0)).toBe(true);
        const noisy = set.map(([labels, all]) => [labels, [...all, found(-1, [1000, 1000, 5, 5])]] as const);
        expect(measure(noisy, 3).result).toEqual(result);
      }),
    );
  });
});

test.each([
  [found(Number.NaN, A), /^INVALID_DATA: Expected a detection's score and box to be finite/],
  [found(0.5, [0, 0, Number.POSITIVE_INFINITY, 1]), /^INVALID_DATA: .*finite/],
  [found(0.5, A, 1), /^INVALID_DATA: Expected the category of a detection to be a whole number in \[0, 1\), got 1/],
  [found(0.5, A, 0.5), /^INVALID_DATA: .*got 0.5/],
])('refuses %j', async (detection, message) => {
  expect(await failure(() => new CocoMetrics(1).add({ id: 0, labels: [] }, [detection]))).toMatch(message);
});

test('refuses labels of categories that are none', async () => {
  const add = () => new CocoMetrics(1).add({ id: 0, labels: [truth(A, { category: 3 })] }, []);
  expect(await failure(add)).toMatch(/^INVALID_DATA: Expected the category of a label .*got 3/);
});
