// The drawn digits: deterministic, balanced, in range, different, and neither trivial nor hopeless to tell apart.
import { describe, expect, test } from 'vitest';
import { digitDrawer, digitsDataset } from '../../src/data/digits/dataset.js';
import { openDataset } from '../../src/data/open.js';
import { failure } from './helpers.js';

function read(split: 'train' | 'test', from: number, count: number, options = {}) {
  const inputs = new Float32Array(count * 784);
  const labels = new BigInt64Array(count);
  const indices = Uint32Array.from({ length: count }, (_, index) => from + index);
  digitsDataset(split, options).read(indices, inputs, labels);
  return { inputs, labels };
}

describe('drawn digits', () => {
  test('what they say about themselves', async () => {
    expect(await openDataset('digits', 'train')).toMatchObject({
      name: 'digits (train)',
      length: 60_000,
      inputShape: [1, 28, 28],
      labelType: 'int64',
      labelShape: [],
      classes: 10,
      normalization: '(value / 255 - 0.1307) / 0.3081',
    });
    expect((await openDataset('digits', 'test')).length).toBe(10_000);
  });

  test('an index always gives the same image; splits, seeds and indices give others', () => {
    const image = (split: 'train' | 'test', index: number, seed = 0) => read(split, index, 1, { seed }).inputs.join();
    expect(
      read('train', 0, 40)
        .inputs.slice(30 * 784, 31 * 784)
        .join(),
    ).toBe(image('train', 30));
    const images = [image('train', 30), image('test', 30), image('train', 30, 1), image('train', 40)];
    expect(new Set(images).size).toBe(4);
  });

  test('labels are balanced; values are ink in [0, 1]', () => {
    expect([...read('test', 0, 20).labels]).toEqual(Array.from({ length: 20 }, (_, index) => BigInt(index % 10)));
    const draw = digitDrawer('train', 0);
    for (let index = 0; index < 500; index++) {
      const ink = draw(index);
      expect(Math.min(...ink)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...ink)).toBeLessThanOrEqual(1);
      const share = ink.reduce((sum, value) => sum + value, 0) / 784;
      expect(share).toBeGreaterThan(0.01);
      expect(share).toBeLessThan(0.45);
    }
  });

  test('normalised, they have about mean 0 and deviation 1', () => {
    const { inputs } = read('train', 0, 2000);
    const mean = inputs.reduce((sum, value) => sum + value, 0) / inputs.length;
    const variance = inputs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / inputs.length;
    expect(Math.abs(mean)).toBeLessThan(0.1);
    expect(Math.abs(Math.sqrt(variance) - 1)).toBeLessThan(0.15);
  });

  test('the mean of each class tells digits apart, but not all of them', () => {
    const train = read('train', 0, 3000);
    const means = Array.from({ length: 10 }, () => new Float64Array(784));
    for (const [at, value] of train.inputs.entries()) {
      means[Number(train.labels[Math.floor(at / 784)])]![at % 784]! += value / 300;
    }
    const { inputs, labels } = read('test', 0, 1000);
    const right = [...labels].filter((label, row) => {
      const distances = means.map((mean) =>
        mean.reduce((sum, value, pixel) => sum + (value - inputs[row * 784 + pixel]!) ** 2, 0),
      );
      return distances.indexOf(Math.min(...distances)) === Number(label);
    }).length;
    expect(right / 1000).toBeGreaterThan(0.5);
    expect(right / 1000).toBeLessThan(0.93);
  });

  test('wrong options', async () => {
    expect(await failure(() => digitsDataset('train', { length: 0 }))).toMatch(/^INVALID_OPTION: Expected length/);
    expect(await failure(() => digitsDataset('train', { classes: 9 }))).toMatch(/^INVALID_DATA: .*got 9/);
  });
});
