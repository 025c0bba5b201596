// LeNet-5 and ResNet: parameter counts against the published ones, and a run in the stock runtime.
import { describe, expect, it } from 'vitest';
import { newModel } from '../../models/index.js';
import {
  countNumbers,
  countTrainable,
  fillNormal,
  float32,
  initializers,
  nodesOf,
  rms,
  runOnNoise,
} from './support.js';

describe('lenet5', () => {
  const model = newModel('lenet5', {}, fillNormal);

  it('has the 430,500 weights and 431,080 parameters of the pruning literature', () => {
    expect(countNumbers(model, (name) => name.endsWith('.weight'))).toBe(430_500);
    expect(countNumbers(model)).toBe(431_080);
  });

  it('has the four weight tensors in their Caffe shapes', () => {
    const shapes = initializers(model).map(({ name, dims }) => [name, dims.map(Number)]);
    expect(shapes.filter(([name]) => String(name).endsWith('.weight'))).toEqual([
      ['conv1.weight', [20, 1, 5, 5]],
      ['conv2.weight', [50, 20, 5, 5]],
      ['fc1.weight', [500, 800]],
      ['fc2.weight', [10, 500]],
    ]);
  });

  it('runs on any batch size', async () => {
    for (const batch of [1, 3]) {
      const { logits } = await runOnNoise(model, [batch, 1, 28, 28]);
      expect(logits?.dims).toEqual([batch, 10]);
      expect(rms(float32(logits?.data))).toBeGreaterThan(0.01);
      expect(rms(float32(logits?.data))).toBeLessThan(10);
    }
  });

  it('takes another number of classes', async () => {
    const { logits } = await runOnNoise(newModel('lenet5', { classes: 47 }, fillNormal), [1, 1, 28, 28]);
    expect(logits?.dims).toEqual([1, 47]);
  });
});

describe('resnet56', () => {
  // Table 6 of He et al. (2015) gives 0.27, 0.46, 0.66, 0.85 and 1.7 M. The exact figures follow from section 4.2:
  // weights 432 + n (4608 + 18432 + 73728) - 4608 - 18432, 2 (16 + 2n (16 + 32 + 64)) of BatchNormalization, and 650.
  const published = [
    [20, 0.27, 269_722],
    [32, 0.46, 464_154],
    [44, 0.66, 658_586],
    [56, 0.85, 853_018],
    [110, 1.7, 1_727_962],
  ] as const;

  it.each(published)('with %i layers has the %d M parameters of the paper', (depth, millions, exact) => {
    const model = newModel('resnet56', { depth }, fillNormal);
    const n = (depth - 2) / 6;
    const weights = 432 + n * (4608 + 18432 + 73728) - 4608 - 18432;
    expect(weights + 2 * (16 + 2 * n * (16 + 32 + 64)) + 650).toBe(exact);
    expect(countTrainable(model)).toBe(exact);
    expect(exact / 1e6).toBeCloseTo(millions, millions === 1.7 ? 1 : 2);
    expect(nodesOf(model, 'Conv').length + nodesOf(model, 'Gemm').length).toBe(depth);
    expect(nodesOf(model, 'Add')).toHaveLength(3 * n);
  });

  it('gives finite logits of ordinary size before any training', async () => {
    const { logits } = await runOnNoise(newModel('resnet56', {}, fillNormal), [2, 3, 32, 32]);
    expect(logits?.dims).toEqual([2, 10]);
    expect(rms(float32(logits?.data))).toBeGreaterThan(0.01);
    expect(rms(float32(logits?.data))).toBeLessThan(20);
  });

  it('has shortcuts without parameters: two subsampled, all others direct', () => {
    const model = newModel('resnet56', {}, fillNormal);
    expect(nodesOf(model, 'Slice')).toHaveLength(2);
    expect(nodesOf(model, 'Pad')).toHaveLength(2);
    expect(initializers(model).filter(({ name }) => name.includes('shortcut'))).toEqual([]);
  });
});
