// Detectors measured on pictures: a model that can be followed by hand, in the real runtime; and detectors that only say
// what they are told, for the way of boxes from letterboxed pixels back to the pictures'.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { DetectionBatches } from '../../src/data/detection/batches.js';
import type { BoxLabel, DetectionDataset } from '../../src/data/detection/dataset.js';
import { letterboxOf, toNetwork } from '../../src/data/detection/letterbox.js';
import { openDetection } from '../../src/data/detection/open.js';
import { dataFolder } from '../../src/data/open.js';
import { evaluateDetection, measureDetector } from '../../src/detection/evaluate.js';
import type { Detection } from '../../src/detection/nms.js';
import { label, plainDataset } from '../data/detection/helpers.js';
import { failure } from '../data/helpers.js';
import { cellColours } from './cell-colours.js';

/** A detector that finds all labels of the pictures in order, as `change` makes them; crowds are not its business. */
function teller(
  { images, classes }: DetectionDataset,
  size: number,
  change: (detection: Detection, label: BoxLabel) => Detection[] = (detection) => [detection],
) {
  let next = 0;
  return {
    size,
    classes: classes.length,
    names: undefined,
    detect: (_: Float32Array, count: number): Promise<Detection[][]> => {
      const some = images.slice(next, next + count);
      next += count;
      return Promise.resolve(
        some.map((image) =>
          image.labels.flatMap((one, index) => {
            const box = toNetwork(one.box, letterboxOf(image, size));
            return one.crowd ? [] : change({ category: one.category, score: 1 - index / 100, box }, one);
          }),
        ),
      );
    },
  };
}

describe('cells of colours', () => {
  let dataset: DetectionDataset;
  beforeAll(async () => {
    const scene = await plainDataset([
      {
        width: 128,
        height: 128,
        colour: [0, 0, 200],
        labels: [label(0, [0, 0, 64, 64]), label(1, [64, 64, 64, 64]), label(0, [64, 0, 64, 64])],
      },
      { width: 64, height: 64, colour: [0, 0, 0], labels: [] },
    ]);
    const square = (background: string) => ({ create: { width: 64, height: 64, channels: 3, background } }) as const;
    await sharp({ create: { width: 128, height: 128, channels: 3, background: 'blue' } })
      .composite([
        { input: square('red'), left: 0, top: 0 },
        { input: square('yellow'), left: 64, top: 64 },
      ])
      .png()
      .toFile(scene.images[0]!.path);
    dataset = { ...scene, classes: ['yellow', 'red'], categoryIds: [1, 2] };
  });

  test('found where they are, under the names of the data', async () => {
    const renamed = {
      ...dataset,
      images: dataset.images.map((image) => ({
        ...image,
        labels: image.labels.map((one) => ({ ...one, category: 1 - one.category })),
      })),
    };
    const progress: number[][] = [];
    const result = await evaluateDetection(cellColours(), renamed, {
      threads: 1,
      batchSize: 1,
      onProgress: (...done) => progress.push(done),
    });
    // Yellow: all found. Red: one of two, nothing wrong: 51 of 101 points of recall.
    expect(result.categories).toEqual([
      { name: 'yellow', category: 0, labels: 1, ap: 1, ap50: 1, ar100: 1 },
      {
        name: 'red',
        category: 1,
        labels: 2,
        ap: expect.closeTo(51 / 101, 9),
        ap50: expect.closeTo(51 / 101, 9),
        ar100: 0.5,
      },
    ]);
    expect(result).toMatchObject({
      task: 'detection',
      pictures: 2,
      size: 64,
      ap: expect.closeTo((1 + 51 / 101) / 2, 9),
    });
    expect(result.apMedium).toBe(result.ap);
    expect(progress).toEqual([
      [1, 2],
      [2, 2],
    ]);
  });

  test('at another size the same boxes are smaller cells', async () => {
    const result = await evaluateDetection(cellColours(), dataset, { threads: 1, size: 128 });
    // Names exchanged: what is red is labelled yellow, and cells of 32 pixels are quarters of the objects.
    expect(result).toMatchObject({ size: 128, ap50: 0 });
  });

  test('refuses what does not fit', async () => {
    const foreign = { ...dataset, classes: ['cat', 'dog'] };
    expect(await failure(() => evaluateDetection(cellColours(), foreign))).toMatch(
      /^INVALID_OPTION: .*classes "cat", "dog"/,
    );
    const wrong = new DetectionBatches(dataset, { size: 96 });
    expect(await failure(() => evaluateDetection(cellColours(), wrong))).toMatch(
      /batches of the detector's size, 64, got 96/,
    );
    const flipped = new DetectionBatches(dataset, { size: 64, flip: 0.5 });
    expect(await failure(() => evaluateDetection(cellColours(), flipped))).toMatch(/pictures as they are, got "flips/);
    const typo = { sizes: 3 } as object;
    expect(await failure(() => evaluateDetection(cellColours(), dataset, typo))).toMatch(
      /Unknown option "sizes"; did you/,
    );
    const signal = AbortSignal.abort();
    expect(await failure(() => evaluateDetection(cellColours(), dataset, { signal }))).toMatch(/^ABORTED/);
  });
});

describe('boxes on their way back', () => {
  test('wide and tall pictures, in batches that are not full and in batches given', async () => {
    const shape = (width: number, height: number) => ({
      width,
      height,
      colour: [1, 2, 3] as const,
      labels: [label(0, [3, 5, width / 3, height / 2]), label(1, [width / 2, 7, width / 4, 9])],
    });
    const dataset = await plainDataset([shape(100, 40), shape(33, 90), shape(64, 64)]);
    expect(await measureDetector(teller(dataset, 96), dataset, { batchSize: 2 })).toMatchObject({ ap: 1, ar100: 1 });
    const batches = new DetectionBatches(dataset, { size: 96, batchSize: 2, shuffle: false });
    expect(await measureDetector(teller(dataset, 96), batches)).toMatchObject({ ap: 1, pictures: 3 });
  });

  test('what is only in the grey is no detection; what reaches into it is cut', async () => {
    const dataset = await plainDataset([
      { width: 64, height: 16, colour: [0, 0, 0], labels: [label(0, [0, 0, 64, 16])] },
    ]);
    const detector = teller(dataset, 64, (detection) => [
      { ...detection, score: 0.9, box: [0, 0, 64, 20] },
      { ...detection, score: 0.8, box: [0, 0, 64, 64] },
    ]);
    expect(await measureDetector(detector, dataset)).toMatchObject({ ap: 1 });
  });

  test('a class that the data lacks is no detection', async () => {
    const dataset = await plainDataset([
      { width: 32, height: 32, colour: [0, 0, 0], labels: [label(0, [4, 4, 9, 9])] },
    ]);
    const detector = teller(dataset, 32, (detection) => [
      { ...detection, category: 3, score: 1 },
      { ...detection, score: 0.5 },
    ]);
    const named = { ...detector, classes: 4, names: ['a', 'b', 'c', 'other'] };
    expect(await measureDetector(named, dataset)).toMatchObject({ ap: 1 });
  });

  test('scores or boxes that are no numbers are an error, not a zero', async () => {
    const dataset = await plainDataset([
      { width: 32, height: 32, colour: [0, 0, 0], labels: [label(0, [4, 4, 9, 9])] },
    ]);
    const detector = teller(dataset, 32, (detection) => [{ ...detection, score: Number.NaN }]);
    expect(await failure(() => measureDetector(detector, dataset))).toMatch(/^INVALID_DATA: .*finite numbers/);
  });
});

const coco128 = resolve(dataFolder() ?? '', 'coco128');
describe.skipIf(!existsSync(join(coco128, 'instances.json')))('coco128', () => {
  test('its own labels as detections are worth 1, without every fifth 4 fifths or so', async () => {
    const dataset = await openDetection(coco128);
    const perfect = await measureDetector(teller(dataset, 128), dataset, { batchSize: 32 });
    expect(perfect).toMatchObject({ pictures: 128, ap: 1, ap50: 1, apSmall: 1, apLarge: 1, ar100: 1 });
    expect(perfect.categories.filter(({ labels }) => labels > 0)).toHaveLength(71);
    let count = 0;
    const forgetful = teller(dataset, 128, (detection) => (count++ % 5 === 0 ? [] : [detection]));
    const { ap, ar100 } = await measureDetector(forgetful, dataset, { batchSize: 32 });
    expect(ap).toBeGreaterThan(0.7);
    expect(ap).toBeLessThan(0.9);
    expect(ar100).toBeLessThan(0.9);
  });
});
