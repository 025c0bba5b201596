// The options that `train` and `retrain` share, and what they mean to the library.
import type { Command } from 'commander';
import {
  Batches,
  type DataRate,
  type Dataset,
  type Granularity,
  openDataset,
  parseAugmentations,
  Trainer,
  type TrainerOptions,
} from '../../index.js';
import type { DeviceChoice } from '../../native/device.js';
import { deviceOption, integer, oneOf, outputFile, real, required, texts, threadsOption } from '../options.js';
import { addDetectionOptions, type DetectionOptions } from './detection-options.js';
import { addLossOptions, type LossOptions, lossOf } from './loss.js';

const LARGEST = Number.MAX_SAFE_INTEGER;

export interface TrainingOptions extends LossOptions, DetectionOptions {
  output?: string;
  data?: string;
  batch?: number;
  seed?: number;
  augment?: string[];
  optimizer?: 'adam' | 'adamw' | 'sgd';
  lr?: number;
  schedule?: 'cosine' | 'one-cycle' | 'constant';
  momentum?: number;
  weightDecay?: number;
  clip?: number;
  average?: number;
  accumulate?: number;
  trainable?: string[];
  frozen?: string[];
  include?: string[];
  exclude?: string[];
  granularity?: Granularity;
  threads?: number;
  device?: DeviceChoice;
  checkpoint?: string | false;
  resume?: boolean;
  report?: string;
  json?: boolean;
  quiet?: boolean;
}

/** `--data` and the loss, for everything that runs a model on data. */
export function addDataOptions(command: Command): Command {
  return addLossOptions(
    command.option('--data <where>', 'data: digits, a folder, an .npz file or a name in $SECATEUR_DATA (needed)'),
  );
}

/** Everything else of a run of training. */
export function addTrainingOptions(command: Command): Command {
  const output = addDetectionOptions(addDataOptions(command)).option(
    '-o, --output <file>',
    'ONNX file to write; may be the input (needed)',
    outputFile(),
  );
  return addStepOptions(output)
    .option('--checkpoint <file>', 'where the run is kept until it is done (default: OUTPUT.checkpoint)')
    .option('--no-checkpoint', 'keep none')
    .option('--resume', 'go on with an interrupted run from its checkpoint')
    .option('--report <file>', 'also write the JSON report to a file')
    .addOption(deviceOption('cpu'))
    .addOption(threadsOption());
}

/** Batches, optimizer, schedule, and which tensors are trained and pruned. */
export function addStepOptions(command: Command): Command {
  return command
    .option('--batch <n>', 'samples a step (default: 64)', integer('--batch', 1, 2 ** 31))
    .option('--seed <n>', 'decides order and augmentation (default: 0)', integer('--seed', 0, LARGEST))
    .option('--augment <what>', 'flip, crop:PIXELS for random shifts, or mosaic for boxes; repeatable', texts())
    .option(
      '--label-smoothing <number>',
      'spread this part of each target, [0, 1)',
      real('--label-smoothing', 0, 0.999),
    )
    .option('--optimizer <name>', 'adam, adamw or sgd (default: adam)', oneOf('--optimizer', ['adam', 'adamw', 'sgd']))
    .option('--lr <rate>', 'highest learning rate (default: 0.001; sgd: 0.1)', real('--lr', 0, 1e6))
    .option(
      '--schedule <shape>',
      'cosine, one-cycle or constant (default: cosine)',
      oneOf('--schedule', ['cosine', 'one-cycle', 'constant']),
    )
    .option('--momentum <number>', 'of sgd, with Nesterov (default: 0.9)', real('--momentum', 0, 0.999999))
    .option('--weight-decay <number>', 'of weights, not of biases (default: 0)', real('--weight-decay', 0, 1e6))
    .option('--clip <norm>', 'clip gradients by their norm over all tensors', real('--clip', 0, 1e30))
    .option('--average <decay>', 'write a moving average of the weights, such as 0.999', real('--average', 0, 0.999999))
    .option('--accumulate <n>', 'batches a step (default: 1)', integer('--accumulate', 1, LARGEST))
    .option('--trainable <glob>', 'train only initializers whose name matches; repeatable', texts())
    .option('--frozen <glob>', 'do not train initializers whose name matches; repeatable', texts())
    .option('--include <glob>', 'also prune tensors whose name matches; repeatable', texts())
    .option('--exclude <glob>', 'never prune tensors whose name matches; repeatable', texts());
}

/** Opens a model for training. */
export async function openTrainer(model: string, options: TrainingOptions): Promise<Trainer> {
  return await Trainer.create(model, { ...lossOf(options), ...trainerOptions(options) });
}

/** All but the loss. */
export function trainerOptions(options: TrainingOptions): Omit<TrainerOptions, 'loss' | 'lossOutput'> {
  const { accumulate, average, trainable, frozen, include, exclude, granularity, threads } = options;
  return {
    optimizer: optimizerOf(options),
    averageDecay: average ?? 0,
    ...(accumulate !== undefined && { accumulate }),
    ...(threads !== undefined && { threads }),
    trainable,
    frozen,
    include,
    exclude,
    granularity,
  };
}

function optimizerOf(options: TrainingOptions): NonNullable<TrainerOptions['optimizer']> {
  const { optimizer = 'adam', momentum = 0.9, weightDecay = 0, clip = 0, device = 'cpu' } = options;
  const common = { learningRate: highestRate(options), weightDecay, maxGradientNorm: clip, device };
  return optimizer === 'sgd'
    ? { type: 'sgd', momentum, nesterov: momentum > 0, ...common }
    : { type: optimizer, ...common };
}

export function highestRate({ optimizer, lr }: TrainingOptions): number {
  return lr ?? (optimizer === 'sgd' ? 0.1 : 1e-3);
}

/** The learning rate of a phase; it ends at `finalShare` of the highest where the schedule is a cosine. */
export function rateOf(options: TrainingOptions, finalShare = 0): DataRate {
  const learningRate = highestRate(options);
  const { schedule = 'cosine' } = options;
  if (schedule !== 'cosine') return { type: schedule, learningRate } as { type: 'constant'; learningRate: number };
  return { type: schedule, learningRate, finalRate: finalShare * learningRate };
}

/** Training batches, and batches to measure with. */
export async function openBatches(options: TrainingOptions): Promise<{ batches: Batches; validation: Batches }> {
  const location = required(options.data, '--data WHERE', 'the data to train on, such as digits or a folder of MNIST');
  const { batch: batchSize = 64, seed = 0, augment: words = [] } = options;
  const dataset = await openDataset(location, 'train');
  const augment = parseAugmentations(words, dataset);
  const batches = new Batches(dataset, { batchSize, seed, augment });
  return { batches, validation: wholeSet(await openDataset(location, 'test')) };
}

const EVALUATION_BATCH = 250;

/** All samples once, in order. */
export function wholeSet(dataset: Dataset, batchSize = EVALUATION_BATCH): Batches {
  return new Batches(dataset, { batchSize, shuffle: false });
}
