// What `prune` may do after pruning, before anything appears under the output's name: recalibrate BatchNormalization, and
// pack. The steps hand files to each other in a folder beside the output.
import { mkdtemp, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  type InputSource,
  type PackedValues,
  type PackFormat,
  type PackReport,
  type PruneOptions,
  type PruneReport,
  pack,
  prune,
  type RecalibrateOptions,
  type Recalibration,
  recalibrateBatchNorm,
} from '../index.js';
import { ioError } from '../io-error.js';
import { refuseDataFile } from '../onnx/data-file.js';
import { readModel } from '../onnx/load.js';
import { dataFilesOf } from '../onnx/save.js';

/** The steps after pruning. */
export interface Finish {
  recalibrate?: (Pick<RecalibrateOptions, 'batches' | 'onProgress'> & { source: InputSource }) | undefined;
  pack?: { format: PackFormat; values: PackedValues | undefined } | undefined;
}

export interface Finished {
  pruned: PruneReport;
  recalibrated?: Omit<Recalibration, 'model'>;
  packed?: PackReport;
}

/** Prunes and finishes; the reports name the model and the output that were asked for. */
export async function pruneAndFinish(
  model: string,
  options: PruneOptions & { output: string },
  finish: Finish,
): Promise<Finished> {
  const { output } = options;
  // The last step reads from the folder, and so does not see what the model itself is made of.
  refuseDataFile(output, dataFilesOf(readModel(model)).keys());
  const folder = await folderBeside(output);
  try {
    const dense = join(folder, basename(output));
    const pruned = { ...(await prune(model, { ...options, output: dense })), output };
    const last = finish.pack === undefined ? output : dense;
    const recalibrated = await recalibrate(dense, last, options, finish);
    if (finish.pack === undefined) return { pruned, ...recalibrated };
    const { threads, signal, onProgress } = options;
    const packed = await pack(dense, { output, ...finish.pack, threads, signal, onProgress });
    return { pruned, ...recalibrated, packed: { ...packed, model } };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function recalibrate(
  input: string,
  output: string,
  { threads, signal }: PruneOptions,
  { recalibrate: how }: Finish,
): Promise<Pick<Finished, 'recalibrated'>> {
  if (how === undefined) return {};
  const { source, ...rest } = how;
  const { model: _, ...recalibrated } = await recalibrateBatchNorm(input, source, { ...rest, output, threads, signal });
  return { recalibrated };
}

async function folderBeside(output: string): Promise<string> {
  try {
    return await mkdtemp(join(dirname(output), `.${basename(output)}.secateur-`));
  } catch (error) {
    throw ioError('create a folder beside', output, error);
  }
}
