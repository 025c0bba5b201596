// Detectors are trained, pruned and resumed by the methods of all models: on pictures that a small network can learn.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { clone } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DetectionBatches } from '../../src/data/detection/batches.js';
import type { Feeds } from '../../src/data/feeds.js';
import { DetectionFeeds } from '../../src/detection/feeds.js';
import { classNamesOf, detectionNetwork, withInputSize } from '../../src/detection/heads.js';
import { setPriorBiases } from '../../src/detection/prior.js';
import { targetNames } from '../../src/detection/targets.js';
import { type DetectionTrainerOptions, openDetectionTrainer } from '../../src/detection/trainer.js';
import { ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { admm } from '../../src/training/methods/admm.js';
import type { RunOptions } from '../../src/training/methods/run.js';
import { train } from '../../src/training/methods/train.js';
import { smallDetector, squares, tinyYolo } from './squares.js';

let dataset: Awaited<ReturnType<typeof squares>>;
let batches: DetectionBatches;
beforeAll(async () => {
  dataset = await squares(24);
  batches = new DetectionBatches(dataset, { size: 32, batchSize: 8, seed: 2, flip: 0.5 });
});
afterAll(() => dataset.remove());

const optimizer = { type: 'adam', learningRate: 3e-3 } as const;

async function opened<T>(
  use: (parts: Awaited<ReturnType<typeof openDetectionTrainer>> & { feeds: DetectionFeeds }) => Promise<T>,
  options: DetectionTrainerOptions = {},
): Promise<T> {
  const parts = await openDetectionTrainer(smallDetector(), { optimizer, threads: 1, ...options });
  try {
    return await use({ ...parts, feeds: new DetectionFeeds(batches, parts.network) });
  } finally {
    await parts.trainer.close();
  }
}

test('a detector learns: its loss falls to a third, from a small one', async () => {
  await opened(async ({ trainer, feeds }) => {
    const { history } = await train(trainer, feeds, { epochs: 60 });
    // With biases of 0 the objectness of 40 cells alone would be 40 log 2 = 28, beside boxes and classes.
    expect(history.epochs[0]!.loss).toBeLessThan(28);
    expect(history.epochs.at(-1)!.loss).toBeLessThan(history.epochs[0]!.loss / 3);
  });
});

test('a measurement of the caller sees the parameters as they are, when it was asked for', async () => {
  await opened(async ({ trainer, feeds }) => {
    const seen: number[] = [];
    const measurement: RunOptions['measurement'] = {
      every: 2,
      of: (model) => {
        const { rawData } = model.graph!.initializer.find(({ name }) => name === 'fine.predict.bias')!;
        const [first] = new Float32Array(rawData.slice().buffer);
        seen.push(first!);
        return Promise.resolve({ bias: first! });
      },
    };
    const options = { ratio: 0.5, iterations: 3, retrainEpochs: 2, measurement };
    const { before, after, history } = await admm(trainer, feeds, options);
    expect(before).toEqual({ loss: null, accuracy: null, metrics: { bias: 0 } });
    expect(after?.metrics).toEqual({ bias: seen.at(-1) });
    expect(history.epochs.map(({ metrics }) => metrics?.['bias'])).toEqual([
      undefined,
      seen[1],
      undefined,
      seen[3],
      undefined,
    ]);
    expect(history.prunings[0]?.metrics).toEqual({ bias: seen[2] });
    expect(new Set(seen).size).toBe(5);
  });
});

test('a run that was stopped goes on with the bits of one that was not', async () => {
  const checkpoint = join(dataset.images[0]!.path, '..', 'run.checkpoint');
  const options = { ratio: 0.6, iterations: 2, retrainEpochs: 1, checkpoint };
  const bits = async (resume: boolean, stopAfter?: number) =>
    await opened(async ({ trainer, feeds }) => {
      const controller = new AbortController();
      const onProgress: RunOptions['onProgress'] = ({ step }) => {
        if (step.step === stopAfter) controller.abort();
      };
      const run = admm(trainer, feeds, { ...options, resume, signal: controller.signal, onProgress });
      if (stopAfter === undefined) await run;
      else await expect(run).rejects.toMatchObject({ code: 'ABORTED' });
      return trainer.store.views('parameters').map((view) => [...view]);
    });
  const whole = await bits(false);
  await bits(false, 4);
  expect(existsSync(checkpoint)).toBe(true);
  expect(await bits(true)).toEqual(whole);
});

test('feeds: the image first, then the targets, and the same at any start', async () => {
  const feeds = new DetectionFeeds(batches, detectionNetwork(smallDetector()));
  const all: Feeds[] = [];
  for await (const each of feeds.epoch(1, 0)) all.push(each);
  expect(all).toHaveLength(3);
  expect(Object.keys(all[0]!)).toEqual(['input', ...Object.values(targetNames)]);
  expect(all[0]!['input']!.dims).toEqual([8, 3, 32, 32]);
  for await (const each of feeds.epoch(1, 2)) expect(each).toEqual(all[2]);
  const network = detectionNetwork(tinyYolo(64, 3));
  expect(() => new DetectionFeeds(batches, network)).toThrow(/Expected size to be 64, got 32/);
});

async function firstOf(feeds: DetectionFeeds): Promise<Feeds> {
  for await (const each of feeds.epoch(0, 0)) return each;
  throw new Error('Expected a batch, got none');
}

test('categories of the data become the classes of the same name', async () => {
  const plain = detectionNetwork(smallDetector());
  const feeds = await firstOf(new DetectionFeeds(batches, plain));
  const named = { ...plain, names: ['Blue', 'red', 'green'] };
  const renamed = await firstOf(new DetectionFeeds(batches, named));
  const classes = (of: Feeds) => [...(of[targetNames.classes]!.data as BigInt64Array)].map(Number);
  expect(new Set(classes(feeds))).toEqual(new Set([0, 1, 2]));
  expect(classes(renamed)).toEqual(classes(feeds).map((category) => [1, 2, 0][category]));
  const others = { ...plain, names: ['cat', 'dog', 'cow'] };
  expect(() => new DetectionFeeds(batches, others)).toThrow(/"red", "green", "blue"/);
});

test('a trained model knows the names of its classes', async () => {
  await opened(
    async ({ trainer, network }) => {
      expect(network.names).toEqual(dataset.classes);
      expect(classNamesOf(await trainer.modelWith('current'))).toEqual(dataset.classes);
    },
    { classNames: dataset.classes },
  );
});

test('another size: the same layers, and heads of as many cells as fit', () => {
  const model = tinyYolo(64, 3);
  const larger = withInputSize(model, 96);
  expect(detectionNetwork(larger)).toMatchObject({ size: 96, classes: 3 });
  expect(detectionNetwork(model).size).toBe(64);
  expect(withInputSize(model, 64)).toBe(model);
  expect(() => withInputSize(model, 80)).toThrow(/Expected size to be a multiple of 32, got 80/);
});

test('heads that were never trained begin with priors, others stay', () => {
  const model = tinyYolo(64, 4);
  const bias = (of: typeof model, name: string) => {
    const { rawData } = of.graph!.initializer.find((tensor) => tensor.name === name)!;
    return [...new Float32Array(rawData.slice().buffer)];
  };
  model.graph!.initializer.find(({ name }) => name === 'head16.predict.bias')!.rawData[3] = 63;
  const ready = clone(ModelProtoSchema, model);
  setPriorBiases(ready, detectionNetwork(model));
  const anchor = [0, 0, 0, 0, Math.log(0.01 / 0.99), ...new Array(4).fill(Math.log(1 / 3))].map(Math.fround);
  expect(bias(ready, 'head32.predict.bias')).toEqual([...anchor, ...anchor, ...anchor]);
  expect(bias(ready, 'head16.predict.bias')).toEqual(bias(model, 'head16.predict.bias'));
  expect(bias(model, 'head32.predict.bias')).toEqual(new Array(27).fill(0));
});
