// `--recalibrate-bn`, shared by the commands that prune without training.
import type { Command } from 'commander';
import { invalidOption } from '../errors.js';
import { Batches, openDataset } from '../index.js';
import { integer, required } from './options.js';

export interface RecalibrationChoice {
  recalibrateBn?: boolean;
  bnBatches?: number;
  data?: string;
}

/** Statistics of small batches are noisy ones; more than this only costs time. */
const BATCH = 128;

/** The flag; `--data` is the command's own. */
export function addRecalibrationOptions(command: Command): Command {
  return command
    .option('--recalibrate-bn', 'compute the statistics of BatchNormalization anew from training data')
    .option(
      '--bn-batches <n>',
      `batches of ${BATCH} to compute them from (default: 50)`,
      integer('--bn-batches', 1, 1e6),
    );
}

/** The training data, in random order; undefined where nothing is to be recalibrated. */
export async function recalibrationOf({
  recalibrateBn = false,
  bnBatches,
  data,
}: RecalibrationChoice): Promise<{ source: Batches; batches: number | undefined } | undefined> {
  if (!recalibrateBn) {
    if (bnBatches !== undefined) throw invalidOption('--bn-batches', 'used with --recalibrate-bn', bnBatches);
    return undefined;
  }
  const location = required(data, '--data WHERE', 'the training data that --recalibrate-bn takes');
  return { source: new Batches(await openDataset(location, 'train'), { batchSize: BATCH }), batches: bnBatches };
}
