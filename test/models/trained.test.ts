// The trained models that the repository ships are what their pages say. Accuracy is measured on the first test images
// only, enough to tell a trained model from a damaged one; docs/results.md has the whole test sets.
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Batches, evaluate, inspect, openDataset, unpack } from '../../src/index.js';

const models = join(import.meta.dirname, '../../models');
const lenet5 = join(models, 'lenet5/pruned-98.8.onnx');
const resnet56 = join(models, 'resnet56/dense.onnx');
const data = process.env['SECATEUR_DATA'] ?? join(import.meta.dirname, '../../../shared/data');
const IMAGES = 1000;

/** Accuracy on the first test images of a data set. */
async function accuracyOf(model: string, folder: string): Promise<number> {
  const dataset = await openDataset(folder, 'test');
  const batches = new Batches(
    { ...dataset, length: IMAGES, read: dataset.read.bind(dataset) },
    { shuffle: false, batchSize: 250 },
  );
  const { accuracy, samples } = await evaluate(model, batches);
  expect(samples).toBe(IMAGES);
  return accuracy ?? Number.NaN;
}

describe('LeNet-5 with 98.8% removed', () => {
  test('unpacks to 5,166 weights of 430,500', async () => {
    const dense = join(tmpdir(), `secateur-lenet5-${process.pid}.onnx`);
    try {
      await unpack(lenet5, { output: dense });
      const { prunable } = await inspect(dense);
      expect(prunable.reduce((sum, { weights }) => sum + weights, 0)).toBe(430_500);
      expect(prunable.reduce((sum, { weights, zeros }) => sum + weights - zeros, 0)).toBe(5_166);
    } finally {
      await rm(dense, { force: true });
    }
  });

  test.skipIf(!existsSync(join(data, 'mnist')))('recognises digits (needs ../shared/data/mnist)', async () => {
    expect(await accuracyOf(lenet5, join(data, 'mnist'))).toBeGreaterThan(0.98);
  });
});

describe('dense ResNet-56', () => {
  test('has 848,944 weights', async () => {
    const { prunable } = await inspect(resnet56);
    expect(prunable.reduce((sum, { weights }) => sum + weights, 0)).toBe(848_944);
    expect(prunable.reduce((sum, { zeros }) => sum + zeros, 0)).toBeLessThan(100);
  });

  test.skipIf(!existsSync(join(data, 'cifar-10')))('recognises pictures (needs ../shared/data/cifar-10)', async () => {
    expect(await accuracyOf(resnet56, join(data, 'cifar-10'))).toBeGreaterThan(0.8);
  });
});
