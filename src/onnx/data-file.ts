// Names for data files: an output is none of the model's own data, and new data replaces no file that is read.
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { invalidOption } from '../errors.js';

/** The real path of a file that may not exist yet. */
export function realPath(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const folder = dirname(resolve(path));
  return join(existsSync(folder) ? realpathSync(folder) : folder, basename(path));
}

/**
 * Refuses an output that is one of the data files of the model that is read.
 *
 * @throws SecateurError INVALID_OPTION.
 */
export function refuseDataFile(output: string, dataFiles: Iterable<string>): void {
  if (![...dataFiles].map(realPath).includes(realPath(output))) return;
  throw invalidOption('output', "another file than the model's own data", output);
}

/**
 * The name of the data file beside an output: `OUTPUT.data`, unless that would replace a file that is read; then
 * `OUTPUT.1.data` and so on, which is no file yet.
 *
 * @param read The model and its data files.
 */
export function chooseDataName(output: string, read: Iterable<string>): string {
  const taken = new Set([...read].map(realPath));
  const wanted = `${basename(output)}.data`;
  if (!taken.has(realPath(join(dirname(output), wanted)))) return wanted;
  for (let count = 1; ; count++) {
    const fresh = `${basename(output)}.${count}.data`;
    if (!existsSync(join(dirname(output), fresh))) return fresh;
  }
}
