// Metrics against counts made by hand and by sorting.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Classification } from '../../src/metrics/classification.js';
import { Mean } from '../../src/metrics/mean.js';
import { failure } from '../data/helpers.js';

describe('classification', () => {
  test('over batches: accuracy, top-k, confusion', () => {
    const metrics = new Classification(3, { topK: [2, 3] });
    metrics.add(Float32Array.of(0.1, 0.7, 0.2, 0.5, 0.2, 0.3), BigInt64Array.of(1n, 2n));
    metrics.add(Float32Array.of(3, 1, 2, 0, 1, 2), Int32Array.of(1, 2));
    expect(metrics.samples).toBe(4);
    expect(metrics.accuracy).toBe(0.5);
    expect([metrics.topK(1), metrics.topK(2), metrics.topK(3)]).toEqual([0.5, 0.75, 1]);
    expect([...metrics.confusion]).toEqual([0, 0, 0, 1, 1, 0, 1, 0, 1]);
  });

  test('as sorting says, ties to the lower class', () => {
    const batch = fc.array(
      fc.tuple(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 5, maxLength: 5 }), fc.nat(4)),
    );
    fc.assert(
      fc.property(batch, (rows) => {
        const metrics = new Classification(5, { topK: [2] });
        metrics.add(
          Float32Array.from(rows.flatMap(([scores]) => scores)),
          Int32Array.from(rows, ([, label]) => label),
        );
        const orders = rows.map(([scores]) => [0, 1, 2, 3, 4].sort((a, b) => scores[b]! - scores[a]! || a - b));
        const within = (k: number) =>
          rows.filter(([, label], row) => orders[row]!.indexOf(label) < k).length / rows.length;
        expect([metrics.accuracy, metrics.topK(2)]).toEqual([within(1), within(2)]);
        const confusion = new Array<number>(25).fill(0);
        for (const [row, [, label]] of rows.entries()) confusion[label * 5 + orders[row]![0]!]! += 1;
        expect([...metrics.confusion]).toEqual(confusion);
      }),
    );
  });

  test('NaN is never right', () => {
    const metrics = new Classification(2, { topK: [2] });
    metrics.add(Float32Array.of(Number.NaN, Number.NaN, Number.NaN, 1), Int32Array.of(0, 1));
    expect([metrics.accuracy, metrics.topK(2)]).toEqual([0, 0.5]);
    expect([...metrics.confusion]).toEqual([0, 1, 1, 0]);
  });

  test('ignored labels count nowhere; nothing gives NaN', () => {
    const metrics = new Classification(2, { ignoreIndex: -100 });
    metrics.add(Float32Array.of(1, 0, 1, 0), BigInt64Array.of(-100n, 0n));
    expect([metrics.samples, metrics.accuracy]).toEqual([1, 1]);
    expect(new Classification(2).accuracy).toBeNaN();
  });

  test('what does not fit', async () => {
    const add = (scores: number, ...labels: number[]) =>
      failure(() => new Classification(2).add(new Float32Array(scores), Int32Array.from(labels)));
    expect(await add(3, 0)).toMatch(/^INVALID_DATA: Expected 1 x 2 scores for 1 labels, got 3/);
    expect(await add(4, 0, 2)).toMatch(/^INVALID_DATA: .*in \[0, 2\), got 2 for sample 1/);
    expect(await add(2, -1)).toMatch(/^INVALID_DATA/);
    expect(await failure(() => new Classification(2).topK(4))).toMatch(/^INVALID_OPTION/);
  });
});

describe('mean', () => {
  test('weighted, in float64', () => {
    const mean = new Mean();
    expect(mean.value).toBeNaN();
    mean.add(1, 64);
    mean.add(2, 16);
    expect([mean.value, mean.weight]).toEqual([1.2, 80]);
    mean.state = { sum: 0, weight: 0 };
    for (let index = 0; index < 1_000_000; index++) mean.add(0.1);
    expect(mean.value).toBeCloseTo(0.1, 9);
  });
});
