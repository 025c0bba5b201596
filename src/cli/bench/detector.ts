// Detectors for `bench train`: YOLOv4 or YOLOv4-tiny on random pixels with random boxes. PyTorch gets the targets that our
// assignment made, so that both compute the same loss.
import { newModel } from '../../../models/index.js';
import type { BoxLabel } from '../../data/detection/dataset.js';
import { Random } from '../../data/random.js';
import type { DetectionNetwork } from '../../detection/heads.js';
import { TargetAssigner, targetNames } from '../../detection/targets.js';
import { openDetectionTrainer } from '../../detection/trainer.js';
import { addon } from '../../native/addon.js';
import type { EpochSource } from '../../training/batch-source.js';
import type { Trainer } from '../../training/trainer.js';
import type { DetectionWork, TorchWork } from './torch-trainer.js';

/** Boxes of a picture; one of coco128 has seven. */
const BOXES = 7;

export interface DetectorOptions {
  readonly model: 'yolov4' | 'yolov4-tiny';
  readonly batch: number;
  /** Batches an epoch. */
  readonly steps: number;
  /** The input's side in pixels. @default 256 for yolov4-tiny, 96 for yolov4 */
  readonly size: number | undefined;
  readonly threads: number;
}

/** At the rate of the classifiers detectors diverge. */
const learningRate = 1e-4;

export async function openDetectorSubject(
  options: DetectorOptions,
): Promise<{ trainer: Trainer; batches: EpochSource; peer: TorchWork }> {
  const { model: name, batch, steps, size = name === 'yolov4' ? 96 : 256, threads } = options;
  const model = newModel('yolov4', { tiny: name === 'yolov4-tiny', size }, addon().fillNormal);
  const optimizer = { type: 'sgd', learningRate, momentum: 0.9 } as const;
  const { trainer, network } = await openDetectionTrainer(model, { optimizer, threads });
  const { feeds, work } = randomBatch(network, batch);
  const batches: EpochSource = {
    perEpoch: steps,
    plan: {},
    *epoch() {
      for (let step = 0; step < steps; step++) yield structuredClone(feeds); // they are handed over
    },
  };
  return { trainer, batches, peer: { model: name, batch, threads, learningRate, detection: work } };
}

/** A batch, and the same targets as plain numbers. */
export function randomBatch(network: DetectionNetwork, batch: number) {
  const { input, size, classes, heads } = network;
  const random = new Random(1);
  const pixels = Float32Array.from({ length: batch * 3 * size * size }, () => random.uniform());
  const labels = Array.from({ length: batch }, () => Array.from({ length: BOXES }, () => randomBox(random, network)));
  const targets = new TargetAssigner(network).assign(labels);
  const numbers = (name: string) => Array.from(targets[name]?.data ?? [], Number);
  const work: DetectionWork = {
    ...{ size, classes, heads },
    truths: numbers(targetNames.truths),
    positives: numbers(targetNames.positives),
    boxes: numbers(targetNames.boxes),
    categories: numbers(targetNames.classes),
  };
  return { feeds: { [input]: { data: pixels, dims: [batch, 3, size, size] }, ...targets }, work };
}

function randomBox(random: Random, { size, classes }: DetectionNetwork): BoxLabel {
  const [width, height] = [0, 0].map(() => size * (0.05 + 0.5 * random.uniform())) as [number, number];
  const [left, top] = [width, height].map((side) => (size - side) * random.uniform()) as [number, number];
  const box = [left, top, width, height] as const;
  return { category: random.below(classes), box, crowd: false, area: width * height };
}
