// `prune --format packed|sparse`: prunes into a folder beside the output, and packs from there, so that nothing but the
// result appears under its name.
import { mkdtemp, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  type PackedValues,
  type PackFormat,
  type PackReport,
  type PruneOptions,
  type PruneReport,
  pack,
  prune,
} from '../index.js';
import { ioError } from '../io-error.js';
import { refuseDataFile } from '../onnx/data-file.js';
import { readModel } from '../onnx/load.js';
import { dataFilesOf } from '../onnx/save.js';

export interface PrunedAndPacked {
  pruned: PruneReport;
  packed: PackReport;
}

/** Prunes and packs; both reports name the model and the output that were asked for. */
export async function pruneAndPack(
  model: string,
  options: PruneOptions & { output: string },
  { format, values }: { format: PackFormat; values: PackedValues | undefined },
): Promise<PrunedAndPacked> {
  const { output, threads, signal, onProgress } = options;
  // Packing reads from the folder, and so does not see what the model itself is made of.
  refuseDataFile(output, dataFilesOf(readModel(model)).keys());
  const folder = await folderBeside(output);
  try {
    const dense = join(folder, basename(output));
    const pruned = await prune(model, { ...options, output: dense });
    const packed = await pack(dense, { output, format, values, threads, signal, onProgress });
    return { pruned: { ...pruned, output }, packed: { ...packed, model } };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function folderBeside(output: string): Promise<string> {
  try {
    return await mkdtemp(join(dirname(output), `.${basename(output)}.secateur-`));
  } catch (error) {
    throw ioError('create a folder beside', output, error);
  }
}
