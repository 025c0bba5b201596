// `--recalibrate-bn`, shared by the commands that prune without training.
import type { Command } from 'commander';
import { detectionNetwork } from '../detection/heads.js';
import { invalidOption } from '../errors.js';
import { Batches, DetectionBatches, openDataset, openDetection, parseAugmentations } from '../index.js';
import { readModel } from '../onnx/load.js';
import { integer, required, texts } from './options.js';

export interface RecalibrationChoice {
  recalibrateBn?: boolean;
  bnBatches?: number;
  bnAugment?: string[];
  data?: string;
  task?: 'classification' | 'detection';
}

/** The training data of `--recalibrate-bn`. */
export interface RecalibrationData {
  /** Batches for an ONNX file, in random order: detectors differ in the size of their pictures. */
  sourceFor: (model: string) => Batches | DetectionBatches;
  batches: number | undefined;
  /** What else the result depends on. */
  settings: { recalibrationAugment: readonly string[] | null };
}

/** Statistics of small batches are noisy ones; more than this only costs time. */
const BATCH = 128;
/** A picture has thousands of values a channel. */
const PICTURES = 16;

/** The flag; `--data` is the command's own. */
export function addRecalibrationOptions(command: Command): Command {
  return command
    .option('--recalibrate-bn', 'compute the statistics of BatchNormalization anew from training data')
    .option(
      '--bn-batches <n>',
      `batches of ${BATCH}, of detection ${PICTURES}, to compute them from (default: 50)`,
      integer('--bn-batches', 1, 1e6),
    )
    .option('--bn-augment <what>', 'flip or crop:PIXELS, as the model was trained with; repeatable', texts());
}

/** @throws SecateurError INVALID_OPTION where an option would be ignored. */
export function checkRecalibration({ recalibrateBn = false, bnBatches, bnAugment, task }: RecalibrationChoice): void {
  if (!recalibrateBn && bnBatches !== undefined)
    throw invalidOption('--bn-batches', 'used with --recalibrate-bn', bnBatches);
  if (!recalibrateBn && bnAugment !== undefined)
    throw invalidOption('--bn-augment', 'used with --recalibrate-bn', bnAugment);
  if (task === 'detection' && bnAugment !== undefined)
    throw invalidOption('--bn-augment', 'left out of detection', bnAugment);
}

/** The training data, opened once for all models; undefined where nothing is to be recalibrated. */
export async function recalibrationOf(options: RecalibrationChoice): Promise<RecalibrationData | undefined> {
  const { recalibrateBn = false, bnBatches, bnAugment, data, task } = options;
  if (!recalibrateBn) return undefined;
  const location = required(data, '--data WHERE', 'the training data that --recalibrate-bn takes');
  const sourceFor = await (task === 'detection' ? pictures(location) : samples(location, bnAugment));
  return { sourceFor, batches: bnBatches, settings: { recalibrationAugment: bnAugment ?? null } };
}

async function pictures(location: string): Promise<RecalibrationData['sourceFor']> {
  const dataset = await openDetection(location, 'train');
  return (model) => new DetectionBatches(dataset, { size: sizeOf(model), batchSize: PICTURES });
}

async function samples(location: string, words: readonly string[] = []): Promise<RecalibrationData['sourceFor']> {
  const dataset = await openDataset(location, 'train');
  const batches = new Batches(dataset, { batchSize: BATCH, augment: parseAugmentations(words, dataset) });
  return () => batches;
}

function sizeOf(model: string): number {
  return detectionNetwork(readModel(model).model).size;
}
