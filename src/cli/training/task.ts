// What a task means for `train` and `retrain`: which data, which loss, which measure. Classification has a loss of the
// user's choice; detection is YOLO's.
import { invalidOption } from '../../errors.js';
import {
  type BatchSource,
  DetectionBatches,
  DetectionFeeds,
  evaluateDetection,
  type Measurement,
  openDetectionParts,
  openDetectionTrainer,
  type RunOptions,
  type Trainer,
} from '../../index.js';
import { required } from '../options.js';
import { checkTask, type DetectionOptions } from './detection-options.js';
import { openBatches, openTrainer, type TrainingOptions, trainerOptions } from './options.js';

/** A trainer, what to train it on, and what to measure it by. */
export interface Task extends Pick<RunOptions, 'validation' | 'measurement'> {
  readonly trainer: Trainer;
  readonly batches: BatchSource;
}

export async function openTask(model: string, options: TrainingOptions): Promise<Task> {
  checkTask(options);
  if (options.task === 'detection') return await openDetectionTask(model, options);
  const { batches, validation } = await openBatches(options);
  return { trainer: await openTrainer(model, options), batches, validation };
}

async function openDetectionTask(model: string, options: TrainingOptions): Promise<Task> {
  const location = required(options.data, '--data WHERE', 'pictures with boxes, such as coco128 or a folder of COCO');
  const { batch: batchSize = 16, seed = 0, size } = options;
  const { train: dataset, test } = await openDetectionParts(location);
  const { trainer, network } = await openDetectionTrainer(model, {
    ...trainerOptions(options),
    ...(size !== undefined && { size }),
    classNames: dataset.classes,
    loss: lossOptions(options),
  });
  const batches = new DetectionBatches(dataset, { size: network.size, batchSize, seed, ...augmentations(options) });
  const feeds = new DetectionFeeds(batches, network, { matchThreshold: options.matchThreshold });
  // The pictures to test with may be those to train on: then they are decoded once.
  const inOrder = new DetectionBatches(test, { size: network.size, shuffle: false }, batches.pictures);
  return { trainer, batches: feeds, measurement: averagePrecision(inOrder, options) };
}

function averagePrecision(
  pictures: DetectionBatches,
  { measureEvery = 20, threads = 0 }: TrainingOptions,
): Measurement {
  return {
    every: measureEvery,
    of: async (model, signal) => {
      const { ap50, ap } = await evaluateDetection(model, pictures, { threads, signal });
      return { ap50, ap };
    },
  };
}

function lossOptions({ boxGain, objectnessGain, classGain }: DetectionOptions) {
  return { boxGain, objectnessGain, classGain };
}

/** Words of `--augment`: half of the pictures each. */
function augmentations({ augment = [] }: TrainingOptions): { flip?: number; mosaic?: number } {
  for (const word of augment) {
    if (word !== 'flip' && word !== 'mosaic') {
      throw invalidOption('--augment', 'flip or mosaic with --task detection', word);
    }
  }
  return { ...(augment.includes('flip') && { flip: 0.5 }), ...(augment.includes('mosaic') && { mosaic: 0.5 }) };
}
