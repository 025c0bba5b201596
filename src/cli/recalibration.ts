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
  source: Batches | DetectionBatches;
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

/**
 * The training data, in random order; undefined where nothing is to be recalibrated.
 *
 * @param model an ONNX file, whose input says the size of pictures.
 */
export async function recalibrationOf(
  { recalibrateBn = false, bnBatches, bnAugment, data, task }: RecalibrationChoice,
  model: string,
): Promise<RecalibrationData | undefined> {
  if (!recalibrateBn) {
    if (bnBatches !== undefined) throw invalidOption('--bn-batches', 'used with --recalibrate-bn', bnBatches);
    if (bnAugment !== undefined) throw invalidOption('--bn-augment', 'used with --recalibrate-bn', bnAugment);
    return undefined;
  }
  if (task === 'detection' && bnAugment !== undefined)
    throw invalidOption('--bn-augment', 'left out of detection', bnAugment);
  const location = required(data, '--data WHERE', 'the training data that --recalibrate-bn takes');
  const source =
    task === 'detection'
      ? new DetectionBatches(await openDetection(location, 'train'), { size: sizeOf(model), batchSize: PICTURES })
      : await augmentedBatches(location, bnAugment);
  return { source, batches: bnBatches, settings: { recalibrationAugment: bnAugment ?? null } };
}

async function augmentedBatches(location: string, words: readonly string[] = []): Promise<Batches> {
  const dataset = await openDataset(location, 'train');
  return new Batches(dataset, { batchSize: BATCH, augment: parseAugmentations(words, dataset) });
}

function sizeOf(model: string): number {
  return detectionNetwork(readModel(model).model).size;
}
