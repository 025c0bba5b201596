// Which predictions answer for which boxes: by hand, on a network of 40 predictions.
import { expect, test } from 'vitest';
import { TargetAssigner, targetNames } from '../../src/detection/targets.js';
import { label, network } from './support.js';

// Predictions: [4, 4] from 0, [8, 6] from 16 (both 4 x 4 cells of 8), [16, 12] from 32, [24, 30] from 36 (2 x 2 of 16).
const best = new TargetAssigner(network, { matchThreshold: 1 });

test('the anchor of the best shape, in the cell of the centre', () => {
  const feeds = best.assign([[label(2, [9, 18, 8, 7])], [label(0, [2, 1, 20, 28]), label(1, [25, 25, 4, 4])]]);
  // Centre (13, 21.5): column 1, row 2 of the second anchor; (27, 27): the last cell of the first; (12, 15): the first of
  // the last.
  expect(feeds[targetNames.positives]!.data).toEqual(BigInt64Array.of(25n, 55n, 76n));
  expect(feeds[targetNames.classes]!.data).toEqual(BigInt64Array.of(2n, 1n, 0n));
  expect(feeds[targetNames.boxes]).toEqual({
    data: Float32Array.of(9, 18, 8, 7, 25, 25, 4, 4, 2, 1, 20, 28),
    dims: [3, 4],
  });
  expect(feeds[targetNames.weights]!.data).toEqual(Float32Array.of(1, 1, 1));
  expect(feeds[targetNames.truths]).toEqual({
    data: Float32Array.of(9, 18, 8, 7, 0, 0, 0, 0, 2, 1, 20, 28, 25, 25, 4, 4),
    dims: [4, 4],
  });
  const { data, dims } = feeds[targetNames.objectness]!;
  expect(dims).toEqual([2, 40]);
  expect([...(data as Float32Array)].flatMap((value, index) => (value === 1 ? [index] : []))).toEqual([25, 55, 76]);
  expect([...(data as Float32Array)].filter((value) => value === 0)).toHaveLength(77);
});

test('all anchors over the threshold, and the best below it', () => {
  const assigner = new TargetAssigner(network, { matchThreshold: 0.25 });
  // 8 x 8: 16 / 64 with [4, 4], 48 / 64 with [8, 6], 64 / 192 with [16, 12], 64 / 720 with [24, 30]
  const { [targetNames.positives]: several } = assigner.assign([[label(0, [4, 4, 8, 8])]]);
  expect(several!.data).toEqual(BigInt64Array.of(5n, 21n, 32n));
  // 1 x 1: 1 / 16 at most
  const { [targetNames.positives]: one } = assigner.assign([[label(0, [4, 4, 1, 1])]]);
  expect(one!.data).toEqual(BigInt64Array.of(0n));
});

test('two boxes for one prediction: the better shape, else the first', () => {
  const classes = (...boxes: Parameters<typeof label>[1][]) =>
    best.assign([boxes.map((box, index) => label(index, box))])[targetNames.classes]!.data;
  expect(classes([1, 1, 5, 5], [2, 2, 4, 4])).toEqual(BigInt64Array.of(1n));
  expect(classes([2, 2, 4, 4], [1, 1, 5, 5])).toEqual(BigInt64Array.of(0n));
  expect(classes([2, 2, 4, 4], [1, 1, 4, 4])).toEqual(BigInt64Array.of(0n));
});

test('crowds are no targets, and what is in them counts nothing but for a box of its own', () => {
  const crowd = label(1, [0, 0, 16, 16], true);
  const feeds = best.assign([[crowd, label(0, [2, 2, 4, 4])]]);
  expect(feeds[targetNames.positives]!.data).toEqual(BigInt64Array.of(0n));
  expect(feeds[targetNames.truths]!.data).toEqual(Float32Array.of(2, 2, 4, 4));
  const ignored = [...(feeds[targetNames.objectness]!.data as Float32Array)].flatMap((value, index) =>
    value === -1 ? [index] : [],
  );
  // 2 x 2 cells of 8 pixels twice, without the positive one, and one cell of 16 pixels twice
  expect(ignored).toEqual([1, 4, 5, 16, 17, 20, 21, 32, 36]);
});

test('a batch without boxes', () => {
  const feeds = best.assign([[], [label(1, [3, 3, 0, 5])]]);
  expect(feeds[targetNames.weights]!.data).toEqual(Float32Array.of(0));
  expect(feeds[targetNames.truths]).toEqual({ data: new Float32Array(8), dims: [2, 4] });
  expect(feeds[targetNames.objectness]!.data).toEqual(new Float32Array(80));
});

test('a centre on the edge stays inside', () => {
  const { [targetNames.positives]: found } = best.assign([[label(0, [30, 30, 4, 4])]]);
  expect(found!.data).toEqual(BigInt64Array.of(15n));
});

test('refuses a threshold out of range', () => {
  expect(() => new TargetAssigner(network, { matchThreshold: 0 })).toThrow(/Expected matchThreshold/);
});
