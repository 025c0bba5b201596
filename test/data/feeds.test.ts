// Feeds: batches under the names of a model's inputs, and checks of feeds that users make.
import { describe, expect, test } from 'vitest';
import { Batches } from '../../src/data/batches.js';
import { digitsDataset } from '../../src/data/digits/dataset.js';
import { checkedFeeds, type FeedSpecification, type Feeds, feedsOf } from '../../src/data/feeds.js';
import { failure } from './helpers.js';

const inputs: FeedSpecification[] = [
  { name: 'x', type: 'float32', dims: ['N', 1, 28, 28] },
  { name: 'labels', type: 'int64', dims: [null] },
];

async function all(source: Iterable<Feeds> | AsyncIterable<Feeds>): Promise<Feeds[]> {
  const collected: Feeds[] = [];
  for await (const feeds of checkedFeeds(source, inputs)) collected.push(feeds);
  return collected;
}

const x = { data: new Float32Array(784), dims: [1, 1, 28, 28] };
const labels = { data: new BigInt64Array(1), dims: [1] };

describe('feeds', () => {
  test('batches of a data set', async () => {
    const batches = new Batches(digitsDataset('test', { length: 5 }), { batchSize: 2 });
    const feeds = await all(feedsOf(batches.epoch(0), { inputs: 'x', labels: 'labels' }));
    expect(feeds.map((feed) => [feed['x']?.dims, feed['labels']?.dims])).toEqual([
      [[2, 1, 28, 28], [2]],
      [[2, 1, 28, 28], [2]],
      [[1, 1, 28, 28], [1]],
    ]);
  });

  test('from an async generator', async () => {
    async function* source() {
      yield await Promise.resolve({ x, labels });
      yield { x, labels };
    }
    expect((await all(source())).length).toBe(2);
  });

  test.each<[Feeds[], RegExp]>([
    [[], /at least one batch of data, got none/],
    [[{ x, labels }, { x }], /Expected batch 1 to feed the input labels, but it is missing/],
    [[{ x, labels, y: x }], /only the inputs x, labels, got "y"/],
    [[{ x: { ...x, data: new Float64Array(784) }, labels }], /input x of batch 0 to be float32, got float64/],
    [[{ x: { ...x, dims: [2, 1, 28, 28] }, labels }], /784 elements for shape \[2, 1, 28, 28\]/],
    [[{ x: { ...x, dims: [1, 784] }, labels }], /the shape \[N, 1, 28, 28\], got \[1, 784\]/],
    [[{ x: { ...x, dims: [1, 28, 28, 1] }, labels }], /the shape \[N, 1, 28, 28\], got \[1, 28, 28, 1\]/],
    [[{ x, labels: { data: new BigInt64Array(0), dims: [0] } }], /input labels of batch 0 to have data, got none/],
  ])('wrong %#', async (source, message) => {
    expect(await failure(() => all(source))).toMatch(message);
    expect(await failure(() => all(source))).toMatch(/^INVALID_DATA/);
  });
});
