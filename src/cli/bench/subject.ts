// What `bench train` trains: a model, its trainer and random data in memory; and the same work as PyTorch gets it.
import { newModel } from '../../../models/index.js';
import { Batches } from '../../data/batches.js';
import type { Dataset, Labels } from '../../data/dataset.js';
import { addon } from '../../native/addon.js';
import type { BatchSource } from '../../training/batch-source.js';
import { Trainer } from '../../training/trainer.js';
import { openDetectorSubject } from './detector.js';
import type { TorchWork } from './torch-trainer.js';

/**
 * LeNet-5, residual networks by their depth (56 is the paper's, the others are shorter stacks of the same blocks), and
 * detectors.
 */
export const TRAIN_MODELS = [
  ...(['lenet5', 'resnet8', 'resnet14', 'resnet20', 'resnet32', 'resnet44', 'resnet56'] as const),
  ...(['yolov4-tiny', 'yolov4'] as const),
] as const;

export type TrainModel = (typeof TRAIN_MODELS)[number];

export interface SubjectOptions {
  readonly model: TrainModel;
  readonly batch: number;
  /** Batches an epoch. */
  readonly steps: number;
  /** Of detectors: the input's side in pixels. */
  readonly size: number | undefined;
  readonly threads: number;
}

export interface Subject {
  readonly trainer: Trainer;
  readonly batches: BatchSource;
  readonly peer: TorchWork;
}

export async function openSubject(options: SubjectOptions): Promise<Subject> {
  const { model, batch, steps, threads } = options;
  if (model === 'yolov4' || model === 'yolov4-tiny') return await openDetectorSubject({ ...options, model });
  const learningRate = 0.01;
  const optimizer = { type: 'sgd', learningRate, momentum: 0.9 } as const;
  const batches = new Batches(randomDataset(model, batch * steps), { batchSize: batch });
  const trainer = await Trainer.create(classifier(model), { optimizer, threads });
  return { trainer, batches, peer: { model, batch, threads, learningRate } };
}

function classifier(name: string) {
  const { fillNormal } = addon();
  const depth = Number(name.slice('resnet'.length));
  return name === 'lenet5' ? newModel(name, {}, fillNormal) : newModel('resnet56', { depth }, fillNormal);
}

/** Pixels in [0, 1) and ten classes in turn. */
function randomDataset(model: string, length: number): Dataset {
  const inputShape = model === 'lenet5' ? [1, 28, 28] : [3, 32, 32];
  const size = inputShape.reduce((product, side) => product * side, 1);
  const pixels = Float32Array.from({ length: length * size }, () => Math.random());
  return {
    name: 'random pixels',
    length,
    inputShape,
    labelType: 'int64',
    labelShape: [],
    classes: 10,
    normalization: 'none',
    read(indices: Uint32Array, inputs: Float32Array, labels: Labels): void {
      for (const [place, index] of indices.entries()) {
        inputs.set(pixels.subarray(index * size, (index + 1) * size), place * size);
        (labels as BigInt64Array)[place] = BigInt(index % 10);
      }
    },
  };
}
