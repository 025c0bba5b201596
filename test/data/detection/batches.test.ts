// Batches of pictures with boxes: what is in them, that they follow from seed, epoch and position alone, and that flips
// and mosaics move boxes with the pixels.
import { rmSync } from 'node:fs';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type DetectionBatch,
  DetectionBatches,
  type DetectionBatchOptions,
} from '../../../src/data/detection/batches.js';
import type { Box } from '../../../src/data/detection/boxes.js';
import type { DetectionDataset } from '../../../src/data/detection/dataset.js';
import { PictureStore } from '../../../src/data/detection/picture-store.js';
import { failure } from '../helpers.js';
import { label, plainDataset } from './helpers.js';

let dataset: DetectionDataset;
const colours = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [255, 255, 0],
  [255, 0, 255],
] as const;
beforeAll(async () => {
  dataset = await plainDataset(
    colours.map((colour, index) => ({
      width: 64,
      height: 32 * (1 + (index % 2)),
      colour,
      labels: index === 1 ? [] : [label(index % 3, [0, 0, 64, 32], { crowd: index === 2, area: 100 })],
    })),
  );
});

async function all(options: Partial<DetectionBatchOptions>, epoch = 0): Promise<DetectionBatch[]> {
  const batches: DetectionBatch[] = [];
  for await (const batch of new DetectionBatches(dataset, { size: 32, batchSize: 2, ...options }).epoch(epoch)) {
    batches.push(batch);
  }
  return batches;
}

/** Whether all of a box of sample `row` has the colour of a picture, up to a pixel at its edges. */
function hasColour(
  { inputs, inputShape }: DetectionBatch,
  row: number,
  [left, top, width, height]: Box,
  index: number,
) {
  const side = inputShape[3];
  for (let y = Math.ceil(top); y < Math.floor(top + height); y++) {
    for (let x = Math.ceil(left); x < Math.floor(left + width); x++) {
      for (const [plane, value] of colours[index]!.entries()) {
        if (inputs[((row * 3 + plane) * side + y) * side + x] !== value / 255) return false;
      }
    }
  }
  return true;
}

describe('what a batch has', () => {
  test('pixels, boxes and where pictures lie, in order without shuffling', async () => {
    const batches = await all({ shuffle: false });
    expect(batches.map(({ size }) => size)).toEqual([2, 2, 1]);
    const [first] = batches;
    expect(first).toMatchObject({
      inputShape: [2, 3, 32, 32],
      images: [
        { index: 0, letterbox: { scale: 0.5, left: 0, top: 8 } },
        { index: 1, letterbox: { scale: 0.5, left: 0, top: 0 } },
      ],
      position: { epoch: 0, batch: 0 },
      next: { epoch: 0, batch: 1 },
    });
    expect(first!.labels).toEqual([[{ category: 0, box: [0, 8, 32, 16], crowd: false, area: 25 }], []]);
    expect(hasColour(first!, 0, [0, 8, 32, 16], 0)).toBe(true);
    expect([first!.inputs[0], first!.inputs[8 * 32 - 1], first!.inputs[8 * 32]]).toEqual([0.5, 0.5, 1]);
    expect(batches[1]!.labels[0]![0]!.crowd).toBe(true);
    expect(batches[2]!.next).toEqual({ epoch: 1, batch: 0 });
  });

  test('every picture once an epoch, in an order of its own each epoch', async () => {
    const indices = async (epoch: number) =>
      (await all({ seed: 7 }, epoch)).flatMap(({ images }) => images.map(({ index }) => index));
    const [first, second] = [await indices(0), await indices(1)];
    expect(first.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
    expect(second.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
    expect(first).not.toEqual(second);
  });

  test('dropLast', async () => {
    expect(await all({ dropLast: true })).toHaveLength(2);
    const short = () => new DetectionBatches(dataset, { size: 32, batchSize: 6, dropLast: true });
    expect(await failure(short)).toMatch(/^INVALID_DATA: Expected plain to be enough for a batch of 6, but it has 5/);
  });
});

describe('augmentation', () => {
  const augmented = { flip: 0.5, mosaic: 0.5, seed: 3 };

  test('a batch follows from seed, epoch and position alone', async () => {
    const batches = await all(augmented, 2);
    const again = new DetectionBatches(dataset, { size: 32, batchSize: 2, ...augmented });
    expect(await again.at({ epoch: 2, batch: 1 })).toEqual(batches[1]);
    expect(await again.at({ epoch: 2, batch: 0 })).toEqual(batches[0]);
    expect((await again.epoch(2, 2).next()).value).toEqual(batches[2]);
    expect((await all({ ...augmented, seed: 4 }, 2)).map(({ inputs }) => inputs)).not.toEqual(
      batches.map(({ inputs }) => inputs),
    );
  });

  test('a flip moves pixels and boxes alike', async () => {
    const one = await plainDataset([{ width: 32, height: 24, colour: [0, 0, 0], labels: [label(0, [1, 2, 8, 4])] }]);
    const spot = { create: { width: 8, height: 4, channels: 3, background: 'red' } } as const;
    const ground = { create: { width: 32, height: 24, channels: 3, background: 'black' } } as const;
    await sharp(ground)
      .composite([{ input: spot, left: 1, top: 2 }])
      .png()
      .toFile(one.images[0]!.path);
    for (const [flip, left] of [
      [0, 1],
      [1, 23],
    ] as const) {
      const batch = await new DetectionBatches(one, { size: 32, flip }).at({ epoch: 0, batch: 0 });
      expect(batch.labels[0]![0]!.box).toEqual([left, 6, 8, 4]);
      expect(hasColour(batch, 0, [left, 6, 8, 4], 0)).toBe(true);
      expect(batch.inputs.subarray(0, 32 * 32).filter((value) => value === 1)).toHaveLength(8 * 4);
    }
  });

  test('a mosaic has four pictures around a point, and boxes on the pixels of their pictures', async () => {
    const whole = await plainDataset(
      colours.map((colour, index) => ({
        width: 64,
        height: 64,
        colour,
        labels: [label(index % 3, [0, 0, 64, 64], { crowd: index > 2 })],
      })),
    );
    let boxes = 0;
    for (let epoch = 0; epoch < 10; epoch++) {
      for await (const batch of new DetectionBatches(whole, { size: 64, mosaic: 1, flip: 0.5 }).epoch(epoch)) {
        for (const [row, labels] of batch.labels.entries()) {
          expect(labels.length).toBe(4);
          expect(labels[0]!.category).toBe(batch.images[row]!.index % 3);
          for (const { box, category, crowd, area } of labels) {
            const index = colours.findIndex((_, at) => at % 3 === category && at > 2 === crowd);
            expect(hasColour(batch, row, box, index)).toBe(true);
            expect(area).toBeCloseTo(box[2] * box[3], 6);
            expect(box[0] + box[2]).toBeLessThanOrEqual(64);
            boxes++;
          }
          const [leftAbove, rightAbove, leftBelow] = labels;
          const meet = Math.max(leftAbove!.box[0], rightAbove!.box[0]);
          expect(meet).toBeGreaterThanOrEqual(16);
          expect(meet).toBeLessThanOrEqual(48);
          expect(leftAbove!.box[1] + leftAbove!.box[3]).toBeCloseTo(leftBelow!.box[1], 9);
        }
      }
    }
    expect(boxes).toBe(4 * 5 * 10);
  });

  test('what a cut leaves of a box is dropped where it is a sliver', async () => {
    const corners: Box[] = [
      [0, 0, 5, 5],
      [59, 0, 5, 5],
      [0, 59, 5, 5],
      [59, 59, 5, 5],
    ];
    const image = { width: 64, height: 64, colour: [9, 9, 9] as const, labels: corners.map((box) => label(0, box)) };
    const one = await plainDataset([image]);
    let seen = 0;
    for (let epoch = 0; epoch < 30; epoch++) {
      const { labels } = await new DetectionBatches(one, { size: 64, mosaic: 1 }).at({ epoch, batch: 0 });
      for (const { box } of labels[0]!) expect(Math.min(box[2], box[3])).toBeGreaterThanOrEqual(2);
      seen += labels[0]!.length;
    }
    // The corner at the meeting point always stays; of the other three of each picture some are cut.
    expect(seen).toBeGreaterThanOrEqual(4 * 30);
    expect(seen).toBeLessThan(16 * 30);
  });
});

describe('pictures in memory', () => {
  test('are decoded once, also when wanted twice at the same time', async () => {
    const { images } = await plainDataset([{ width: 8, height: 8, colour: [1, 2, 3], labels: [] }]);
    const store = new PictureStore(8);
    const [first, second] = await Promise.all([store.load(images[0]!), store.load(images[0]!)]);
    expect(second).toBe(first);
    rmSync(images[0]!.path);
    expect(await store.load(images[0]!)).toBe(first);
    expect(store.bytes).toBe(8 * 8 * 3);
  });

  test('up to a bound', async () => {
    const one = { width: 8, height: 8, colour: [1, 2, 3] as const, labels: [] };
    const { images } = await plainDataset([one, one]);
    const store = new PictureStore(8, 300);
    const [kept, other] = await Promise.all(images.map((image) => store.load(image)));
    expect(store.bytes).toBe(192);
    const again = await Promise.all(images.map((image) => store.load(image)));
    expect([again[0] === kept, again[1] === other].toSorted()).toEqual([false, true]);
  });

  test('of another size than labelled are refused, and asked for again after a failure', async () => {
    const { images } = await plainDataset([{ width: 8, height: 6, colour: [1, 2, 3], labels: [] }]);
    const store = new PictureStore(8);
    const wrong = { ...images[0]!, width: 6, height: 8 };
    expect(await failure(() => store.load(wrong))).toMatch(/to be 6 x 8 pixels, as its labels say, but it is 8 x 6/);
    expect((await store.load(images[0]!)).width).toBe(8);
  });
});

test.each([
  [{ size: 31 }, /Expected size to be a whole number in \[32/],
  [{ size: 32, flip: 1.5 }, /Expected flip to be a number in \[0, 1\]/],
  [{ size: 32, mosaic: Number.NaN }, /Expected mosaic/],
  [{ size: 32, batchSize: 0 }, /Expected batchSize/],
  [{ size: 32, mosiac: 1 }, /Unknown option "mosiac"; did you mean "mosaic"/],
])('refuses %j', async (options, message) => {
  expect(await failure(() => new DetectionBatches(dataset, options))).toMatch(message);
});

test('refuses positions that are none', async () => {
  const batches = new DetectionBatches(dataset, { size: 32 });
  expect(await failure(() => batches.at({ epoch: 0, batch: 1 }))).toMatch(/^INVALID_OPTION: Expected batch/);
  expect(await failure(() => batches.at({ epoch: -1, batch: 0 }))).toMatch(/^INVALID_OPTION: Expected epoch/);
});
