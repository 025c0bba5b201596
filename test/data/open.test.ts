// From folders and files to data sets: every kind that is recognised, and what is said about those that are not.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Dataset } from '../../src/data/dataset.js';
import { dataFolder, openDataset } from '../../src/data/open.js';
import { failure, idx, npy, temporaryFolder } from './helpers.js';

afterEach(() => vi.unstubAllEnvs());

const pixels = Uint8Array.from({ length: 3 * 4 }, (_, index) => index * 20);

/** A folder of named files. */
function folderOf(files: Record<string, Uint8Array>): string {
  const folder = temporaryFolder();
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  return folder;
}

/** All samples of an image data set. */
function samples(dataset: Dataset): { inputs: Float32Array; labels: bigint[] } {
  const size = dataset.inputShape.reduce((product, length) => product * length, 1);
  const inputs = new Float32Array(dataset.length * size);
  const labels = new BigInt64Array(dataset.length);
  dataset.read(
    Uint32Array.from({ length: dataset.length }, (_, index) => index),
    inputs,
    labels,
  );
  return { inputs, labels: [...labels] };
}

describe('IDX', () => {
  const images = idx([3, 2, 2], pixels);
  const labels = idx([3], [9, 0, 4]);

  test.each([
    ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte', 'train'],
    ['train-images.idx3-ubyte', 'train-labels.idx1-ubyte', 'train'],
    ['t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte', 'test'],
    ['emnist-digits-test-images-idx3-ubyte', 'emnist-digits-test-labels-idx1-ubyte', 'test'],
  ] as const)('%s, gzip or not', async (imageFile, labelFile, split) => {
    const plain = folderOf({ [imageFile]: images, [labelFile]: labels });
    const zipped = folderOf({ [`${imageFile}.gz`]: gzipSync(images), [`${labelFile}.gz`]: gzipSync(labels) });
    for (const folder of [plain, zipped]) {
      const dataset = await openDataset(folder, split);
      expect(dataset).toMatchObject({
        length: 3,
        inputShape: [1, 2, 2],
        labelType: 'int64',
        labelShape: [],
        classes: 10,
      });
      const read = samples(dataset);
      expect(read.labels).toEqual([9n, 0n, 4n]);
      expect(read.inputs).toEqual(Float32Array.from(pixels, (value) => (value / 255 - 0.1307) / 0.3081));
    }
  });

  test('the same file beside its gzip, another normalisation, an inner folder', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'MNIST/raw'), { recursive: true });
    for (const [name, bytes] of Object.entries({ images, labels })) {
      const file = join(folder, `MNIST/raw/train-${name}-idx${name === 'images' ? 3 : 1}-ubyte`);
      writeFileSync(file, bytes);
      writeFileSync(`${file}.gz`, 'never opened');
    }
    const dataset = await openDataset(folder, 'train', { normalization: { mean: [0], deviation: [1] } });
    expect(samples(dataset).inputs).toEqual(Float32Array.from(pixels, (value) => value / 255));
    expect(dataset.normalization).toBe('(value / 255 - 0) / 1');
  });

  test.each([
    [images.subarray(0, 27), labels, /^INVALID_DATA: .*cut short: \[3, 2, 2\] elements expected, 11 found/],
    [Uint8Array.from([...images, 0]), labels, /^INVALID_DATA: .*longer than its header says/],
    [images.subarray(0, 9), labels, /^INVALID_DATA: .*it ends inside its header/],
    [Uint8Array.of(0), labels, /^INVALID_DATA: .*it has only 1 bytes/],
    [Uint8Array.from([1, ...images.subarray(1)]), labels, /^INVALID_DATA: .*it begins with 01 00 08 03/],
    [idx([3, 2, 2], pixels, 13), labels, /^INVALID_DATA: .*it begins with 00 00 0d 03/],
    [images, idx([2], [1, 2]), /^INVALID_DATA: .*it has 3 images and .*labels.* has 2 labels/],
    [idx([3, 4], pixels), labels, /^INVALID_DATA: .*it has \[3, 4\]/],
    [images, idx([3, 1], [1, 2, 3]), /^INVALID_DATA: .*labels of shape \[samples\]/],
    [idx([0, 2, 2], []), idx([0], []), /^INVALID_DATA: .*there are none in it/],
    [gzipSync(images).subarray(0, 25), labels, /^INVALID_DATA: .*a whole gzip file, but it is damaged or cut short/],
  ])('damaged %#', async (imageBytes, labelBytes, message) => {
    const folder = folderOf({ 'train-images-idx3-ubyte': imageBytes, 'train-labels-idx1-ubyte': labelBytes });
    expect(await failure(() => openDataset(folder, 'train'))).toMatch(message);
  });

  test('a label that is no class', async () => {
    const folder = folderOf({ 'train-images-idx3-ubyte': images, 'train-labels-idx1-ubyte': labels });
    expect(await failure(() => openDataset(folder, 'train', { classes: 9 }))).toMatch(
      /^INVALID_DATA: Expected every label .* to be a whole number in \[0, 9\), got 9 for sample 0/,
    );
  });

  test('half a pair, two pairs, only the other split', async () => {
    const half = folderOf({ 'train-images-idx3-ubyte': images });
    expect(await failure(() => openDataset(half, 'train'))).toMatch(/^INVALID_DATA: .*one file of train images/);
    const two = folderOf({
      'a-train-images-idx3-ubyte': images,
      'b-train-images-idx3-ubyte': images,
      'a-train-labels-idx1-ubyte': labels,
    });
    expect(await failure(() => openDataset(two, 'train'))).toMatch(/it has a-train-images-idx3-ubyte, b-train/);
    const other = folderOf({ 'train-images-idx3-ubyte': images, 'train-labels-idx1-ubyte': labels });
    expect(await failure(() => openDataset(other, 'test'))).toMatch(/it has only data to train/);
  });
});

describe('CIFAR-10', () => {
  const record = (label: number) => [label, ...new Uint8Array(3072).fill(label + 1)];

  test('as many files as there are, in the order of their numbers, gzip or not', async () => {
    const folder = folderOf({
      'data_batch_10.bin': Uint8Array.from(record(3)),
      'data_batch_2.bin.gz': gzipSync(Uint8Array.from([...record(1), ...record(2)])),
      'test_batch.bin': Uint8Array.from(record(5)),
    });
    const dataset = await openDataset(folder, 'train');
    expect(dataset).toMatchObject({ length: 3, inputShape: [3, 32, 32], classes: 10 });
    const read = samples(dataset);
    expect(read.labels).toEqual([1n, 2n, 3n]);
    const blue = (4 / 255 - 0.4465) / 0.2615;
    expect(read.inputs.at(-1)).toBeCloseTo(blue, 2);
    expect(read.inputs[0]).toBe(Math.fround((2 / 255 - 0.4914) / 0.247));
    expect(samples(await openDataset(folder, 'test')).labels).toEqual([5n]);
  });

  test.each([
    [[...record(1), 0], /^INVALID_DATA: .*it has 3074 bytes/],
    [[], /^INVALID_DATA: .*it is empty/],
    [[...record(1), ...record(10)], /^INVALID_DATA: .*record 1 has label 10/],
  ])('damaged %#', async (bytes, message) => {
    const folder = folderOf({ 'data_batch_1.bin': Uint8Array.from(bytes) });
    expect(await failure(() => openDataset(folder, 'train'))).toMatch(message);
  });
});

describe('NumPy', () => {
  const x = npy("'|u1'", '(3, 2, 2)', pixels);
  const y = npy("'<i8'", '(3,)', BigInt64Array.of(1n, 0n, 7n));

  test('an archive, stored or deflated, and a folder of arrays', async () => {
    for (const level of [0, 9] as const) {
      const bytes = zipSync({ 'x_train.npy': x, 'y_train.npy': y, 'other.npy': Uint8Array.of(1) }, { level });
      const folder = folderOf({ 'my.npz': bytes, 'x_train.npy': x, 'y_train.npy': y });
      for (const location of [join(folder, 'my.npz'), folder]) {
        const dataset = await openDataset(location, 'train');
        expect(dataset).toMatchObject({ length: 3, inputShape: [1, 2, 2], labelType: 'int64' });
        expect(samples(dataset).labels).toEqual([1n, 0n, 7n]);
        expect(samples(dataset).inputs[1]).toBe(Math.fround((20 / 255 - 0.1307) / 0.3081));
      }
      expect(await failure(() => openDataset(join(folder, 'my.npz'), 'test'))).toMatch(
        /^INVALID_DATA: .*the test arrays of .*it has x_train, y_train, other/,
      );
    }
  });

  test('float inputs and float targets come out unchanged', async () => {
    const inputs = npy("'<f8'", '(2, 3)', Float64Array.of(1, 2, 3, 4, 5, 6));
    const targets = npy("'<f4'", '(2, 2)', Float32Array.of(0.5, 1, -1, 2));
    const folder = folderOf({ 'x_test.npy': inputs, 'y_test.npy': targets });
    const dataset = await openDataset(folder, 'test');
    expect(dataset).toMatchObject({ inputShape: [3], labelType: 'float32', labelShape: [2] });
    const read = [new Float32Array(6), new Float32Array(4)] as const;
    dataset.read(Uint32Array.of(1, 0), ...read);
    expect(read.map((array) => [...array])).toEqual([
      [4, 5, 6, 1, 2, 3],
      [-1, 2, 0.5, 1],
    ]);
  });

  test('damaged archives', async () => {
    const whole = zipSync({ 'x_train.npy': x, 'y_train.npy': y });
    for (const bytes of [whole.subarray(0, whole.length - 30), whole.subarray(40), Uint8Array.of(1, 2, 3)]) {
      const folder = folderOf({ 'my.npz': bytes });
      expect(await failure(() => openDataset(join(folder, 'my.npz'), 'train'))).toMatch(/^INVALID_DATA: /);
    }
    // Any byte may be wrong: one sentence, no other error, no hang.
    for (let at = 0; at < whole.length; at += 3) {
      const changed = whole.slice();
      changed[at] = (changed[at]! + 0x55) & 0xff;
      const folder = folderOf({ 'my.npz': changed });
      expect(await failure(() => openDataset(join(folder, 'my.npz'), 'train'))).toMatch(
        /^(ok|INVALID_DATA|UNSUPPORTED)/,
      );
    }
  });

  test.each([
    [npy("'|u1'", '(0, 2, 2)', new Uint8Array(0)), npy("'<i8'", '(0,)', new BigInt64Array(0)), /its inputs are empty/],
    [x, npy("'<i8'", '(2,)', BigInt64Array.of(1n, 0n)), /it has 3 inputs and 2 labels/],
    [x, npy("'<i4'", '(3, 2)', new Int32Array(6)), /its labels have the shape \[3, 2\]/],
    [x, npy("'<i4'", '(3,)', Int32Array.of(0, -1, 0)), /got -1 for sample 1/],
    [
      npy("'<f4'", '(1, 2)', Float32Array.of(1, Number.NaN)),
      npy("'<i8'", '(1,)', BigInt64Array.of(1n)),
      /element 1 is NaN/,
    ],
  ])('contradictions %#', async (inputs, labels, message) => {
    const folder = folderOf({ 'x_train.npy': inputs, 'y_train.npy': labels });
    expect(await failure(() => openDataset(folder, 'train'))).toMatch(message);
    expect(await failure(() => openDataset(folder, 'train'))).toMatch(/^INVALID_DATA/);
  });
});

describe('places', () => {
  test('names in the data folder', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'mine'));
    writeFileSync(join(folder, 'mine/train-images-idx3-ubyte'), idx([1, 1, 1], [3]));
    writeFileSync(join(folder, 'mine/train-labels-idx1-ubyte'), idx([1], [3]));
    vi.stubEnv('SECATEUR_DATA', folder);
    expect(dataFolder()).toBe(folder);
    expect(await openDataset('mine', 'train')).toMatchObject({ name: 'mine (train)', length: 1 });
    expect(await failure(() => openDataset(folder, 'train'))).toMatch(
      /^INVALID_DATA: .*it has the folders mine: name one of them/,
    );
  });

  test('nothing, another file, wrong options', async () => {
    const folder = folderOf({ 'a.csv': Uint8Array.of(65) });
    expect(await failure(() => openDataset(join(folder, 'none'), 'train'))).toMatch(/^IO: .*no such file.*\(ENOENT\)/);
    expect(await failure(() => openDataset(join(folder, 'a.csv'), 'train'))).toMatch(
      /^INVALID_DATA: .*name its folder/,
    );
    expect(await failure(() => openDataset('digits', 'validate' as 'test'))).toMatch(/^INVALID_OPTION: .*split/);
    expect(await failure(() => openDataset('digits', 'test', { normalisation: 1 } as object))).toMatch(/did you mean/i);
    const bad = { normalization: { mean: [0, 0], deviation: [1, 1] } };
    expect(await failure(() => openDataset('digits', 'test', bad))).toMatch(/^INVALID_OPTION: .*each of 1 channels/);
  });
});

const shared = join(import.meta.dirname, '../../../shared/data');
describe.skipIf(!existsSync(shared))('whole data sets (../shared/data)', () => {
  test('MNIST', async () => {
    const [train, test] = await Promise.all([
      openDataset(join(shared, 'mnist'), 'train'),
      openDataset(join(shared, 'mnist'), 'test'),
    ]);
    expect([train.length, test.length]).toEqual([60_000, 10_000]);
    const { inputs, labels } = samples(test);
    expect(labels.slice(0, 10)).toEqual([7n, 2n, 1n, 0n, 4n, 1n, 4n, 9n, 5n, 9n]);
    const mean = inputs.reduce((sum, value) => sum + value, 0) / inputs.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
  });

  test('CIFAR-10', async () => {
    const test = await openDataset(join(shared, 'cifar-10'), 'test');
    expect(test).toMatchObject({ length: 10_000, inputShape: [3, 32, 32] });
    const counts = new Map<bigint, number>();
    for (const label of samples(test).labels) counts.set(label, (counts.get(label) ?? 0) + 1);
    expect([...counts.values()]).toEqual(new Array(10).fill(1000));
  });
});
