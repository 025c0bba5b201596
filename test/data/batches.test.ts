// Batches: order by seed, resuming, sizes, augmentation and prefetching.
import { describe, expect, test } from 'vitest';
import { randomCrop, randomFlip } from '../../src/data/augment.js';
import { type Batch, Batches, prefetch } from '../../src/data/batches.js';
import type { Dataset } from '../../src/data/dataset.js';
import { permutation, Random } from '../../src/data/random.js';
import { failure } from './helpers.js';

/** Sample i is the image [[i, i + .1], [i + .2, i + .3]] with the label i. */
function counting(length: number): Dataset {
  return {
    name: 'counting',
    length,
    inputShape: [1, 2, 2],
    labelType: 'int64',
    labelShape: [],
    normalization: 'none',
    read: (indices, inputs, labels) => {
      for (const [row, index] of indices.entries()) {
        inputs.set([index, index + 0.1, index + 0.2, index + 0.3], row * 4);
        if (labels instanceof BigInt64Array) labels[row] = BigInt(index);
      }
    },
  };
}

const labelsOf = (batches: Iterable<Batch>) => Array.from(batches, ({ labels }) => Array.from(labels, Number));

describe('order', () => {
  test('every sample once an epoch, another order each epoch and for each seed, the same again', () => {
    const make = (seed: number) => new Batches(counting(100), { batchSize: 16, seed });
    const orders = [make(1), make(2)].flatMap((batches) =>
      [0, 1].map((epoch) => labelsOf(batches.epoch(epoch)).flat()),
    );
    for (const order of orders) {
      expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, index) => index));
    }
    expect(new Set(orders.map(String)).size).toBe(4);
    expect(labelsOf(make(1).epoch(1)).flat()).toEqual(orders[1]);
  });

  test('unshuffled', () => {
    const batches = new Batches(counting(5), { batchSize: 2, shuffle: false });
    expect(labelsOf(batches.epoch(3))).toEqual([[0, 1], [2, 3], [4]]);
    expect(labelsOf(batches.epoch(4))).toEqual([[0, 1], [2, 3], [4]]);
  });

  test('resuming from any position gives the rest of the uninterrupted run', () => {
    const augment = [randomFlip(), randomCrop(1)];
    const whole = [...new Batches(counting(10), { batchSize: 4, seed: 7, augment }).from({ epoch: 0, batch: 0 }, 3)];
    expect(whole.map(({ position }) => position)).toEqual(
      [0, 1, 2].flatMap((epoch) => [0, 1, 2].map((batch) => ({ epoch, batch }))),
    );
    for (const [index, { next }] of whole.slice(0, -1).entries()) {
      const resumed = new Batches(counting(10), { batchSize: 4, seed: 7, augment });
      expect([...resumed.from(JSON.parse(JSON.stringify(next)), 3)]).toEqual(whole.slice(index + 1));
    }
    expect(whole.at(-1)?.next).toEqual({ epoch: 3, batch: 0 });
  });

  test('a short last batch comes or is dropped', () => {
    const sizes = (dropLast: boolean) =>
      Array.from(new Batches(counting(10), { batchSize: 4, dropLast }).epoch(0), ({ size, inputShape }) => [
        size,
        inputShape,
      ]);
    expect(sizes(false)).toEqual([
      [4, [4, 1, 2, 2]],
      [4, [4, 1, 2, 2]],
      [2, [2, 1, 2, 2]],
    ]);
    expect(sizes(true).length).toBe(2);
  });

  test('labels stay with their samples', () => {
    for (const { inputs, labels } of new Batches(counting(50), { batchSize: 8 }).epoch(0)) {
      expect(Array.from(labels, Number)).toEqual([...inputs].filter((_, index) => index % 4 === 0));
    }
  });

  test('wrong options', async () => {
    const make = (options: object) => failure(() => new Batches(counting(3), options));
    expect(await make({ batchSize: 0 })).toMatch(/^INVALID_OPTION: Expected batchSize/);
    expect(await make({ seed: 1.5 })).toMatch(/^INVALID_OPTION: Expected seed/);
    expect(await make({ batchsize: 4 })).toMatch(/^INVALID_OPTION: Unknown option "batchsize"/);
    expect(await make({ batchSize: 4, dropLast: true })).toMatch(/^INVALID_DATA: .*fill a batch of 4.*3 samples/);
    const beyond = () => new Batches(counting(3)).at({ epoch: 0, batch: 1 });
    expect(await failure(beyond)).toMatch(/^INVALID_OPTION: Expected batch/);
  });
});

describe('augmentation', () => {
  test('one function that is not in a list is refused', () => {
    const augment = randomFlip() as unknown as [];
    expect(() => new Batches(counting(10), { augment })).toThrow('Expected augment to be a list of functions');
  });

  function batchOf(inputs: Float32Array, inputShape: number[]): Batch {
    const position = { epoch: 0, batch: 0 };
    return { inputs, inputShape, labels: new BigInt64Array(1), labelShape: [1], size: 1, position, next: position };
  }

  test('a flip reverses every row or none', () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const batch = batchOf(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), [1, 2, 2, 3]);
      randomFlip()(batch, new Random(seed));
      seen.add(batch.inputs.join());
    }
    expect(seen).toEqual(new Set(['1,2,3,4,5,6,7,8,9,10,11,12', '3,2,1,6,5,4,9,8,7,12,11,10']));
  });

  test('a crop is the window of the padded image, the same in all channels', () => {
    const [height, width, padding] = [4, 3, 2];
    const seen = new Set<string>();
    for (let seed = 0; seed < 400; seed++) {
      const image = Float32Array.from({ length: 2 * height * width }, (_, index) => index + 1);
      const batch = batchOf(image.slice(), [1, 2, height, width]);
      randomCrop(padding, -5)(batch, new Random(seed));
      const fits = shifts(padding).filter(({ down, right }) => {
        return batch.inputs.every((value, at) => value === shifted(image, at, { height, width, down, right }));
      });
      expect(fits.length).toBe(1);
      seen.add(JSON.stringify(fits));
    }
    expect(seen.size).toBe(25);
  });

  function shifts(padding: number) {
    const range = Array.from({ length: 2 * padding + 1 }, (_, index) => index - padding);
    return range.flatMap((down) => range.map((right) => ({ down, right })));
  }

  function shifted(
    image: Float32Array,
    at: number,
    { height, width, down, right }: { height: number; width: number; down: number; right: number },
  ): number {
    const channel = Math.floor(at / (height * width));
    const row = (Math.floor(at / width) % height) - down;
    const column = (at % width) - right;
    if (row < 0 || row >= height || column < 0 || column >= width) return -5;
    return image[(channel * height + row) * width + column]!;
  }

  test('an image smaller than the padding may go out of sight', () => {
    const batch = batchOf(new Float32Array(200).fill(1), [200, 1, 1, 1]);
    randomCrop(2)(batch, new Random(1));
    expect(new Set(batch.inputs)).toEqual(new Set([0, 1]));
  });

  test('only images', async () => {
    const batch = batchOf(new Float32Array(4), [1, 4]);
    expect(await failure(() => randomFlip()(batch, new Random(0)))).toMatch(/^INVALID_OPTION: .*got \[1, 4\]/);
  });
});

describe('prefetch', () => {
  test('the next item is made while the consumer is busy, and not before the consumer has its own', async () => {
    const log: string[] = [];
    function* source() {
      for (let item = 0; item < 3; item++) {
        log.push(`make ${item}`);
        yield item;
      }
    }
    for await (const item of prefetch(source())) {
      log.push(`got ${item}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      log.push(`done ${item}`);
    }
    expect(log).toEqual(['make 0', 'got 0', 'make 1', 'done 0', 'got 1', 'make 2', 'done 1', 'got 2', 'done 2']);
  });

  test('a consumer that stops stops the source; errors come in their turn', async () => {
    let ended = false;
    function* source() {
      try {
        yield 1;
        yield 2;
        throw new Error('third');
      } finally {
        ended = true;
      }
    }
    for await (const _ of prefetch(source())) break;
    expect(ended).toBe(true);
    const items: number[] = [];
    const all = async () => {
      for await (const item of prefetch(source())) items.push(item);
    };
    await expect(all()).rejects.toThrow('third');
    expect(items).toEqual([1, 2]);
  });

  test('async sources', async () => {
    async function* source() {
      yield* [1, 2, 3];
      await Promise.resolve();
    }
    const items: number[] = [];
    for await (const item of prefetch(source())) items.push(item);
    expect(items).toEqual([1, 2, 3]);
  });
});

describe('random numbers', () => {
  test('the sequence of a seed never changes', () => {
    const random = new Random(1, 2);
    expect([random.bits(), random.bits(), random.bits()]).toMatchInlineSnapshot(`
      [
        263923280,
        3641262244,
        1298622316,
      ]
    `);
    expect([...permutation(8, new Random(3))]).toMatchInlineSnapshot(`
      [
        5,
        2,
        4,
        6,
        3,
        1,
        7,
        0,
      ]
    `);
  });

  test('uniform, and streams apart by every key', () => {
    const random = new Random(9);
    const counts = new Array<number>(10).fill(0);
    for (let index = 0; index < 100_000; index++) counts[random.below(10)]! += 1;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
    const firsts = [[0], [1], [2 ** 32], [0, 0], [0, 1], [1, 0], []].map((keys) => new Random(...keys).bits());
    expect(new Set(firsts).size).toBe(firsts.length);
  });
});
