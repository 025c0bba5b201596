// What several removal ratios would take from the weights of a model file, from one read of them. Nothing is written, and
// no weight becomes a JavaScript object: pruning in memory is the caller's business, by `applySelection`.

import { SecateurError } from '../errors.js';
import { callNative } from '../native/addon.js';
import type { Scope } from '../native/contract.js';
import type { LoadedModel } from '../onnx/load.js';
import { checkNumber } from '../options.js';
import { checkFileOptions, checkWord, type FileOptions, nativeProgress } from './options.js';
import { makePlan } from './plan.js';
import type { Prunable } from './prunable.js';
import { refuseNothing } from './prune.js';
import type { Selection } from './select.js';

export interface SelectFileOptions extends FileOptions {
  /** Removal ratios, [0, 1). */
  ratios: readonly number[];
  /** @default 'global' */
  scope?: Scope | undefined;
  /** Smallest fraction kept in each tensor, [0, 1]. @default 0 */
  minKeep?: number | undefined;
}

/** Selections over the weights of a file. */
export interface FileSelections {
  loaded: LoadedModel;
  prunable: Prunable[];
  /** Zeros that each tensor has already. */
  zeros: number[];
  /** One a ratio, in the order given; their tensors are those of `prunable`. */
  selections: Selection[];
}

/** @throws SecateurError See `prune`. */
export async function selectFromFile(path: string, options: SelectFileOptions): Promise<FileSelections> {
  checkFileOptions(path, options);
  const { ratios, scope = 'global', minKeep = 0, threads = 0, signal } = options;
  for (const ratio of ratios) checkNumber('ratio', ratio, { least: 0, below: 1 });
  checkWord('scope', scope, ['global', 'layer']);
  checkNumber('minKeep', minKeep, { least: 0, most: 1 });
  const plan = makePlan(path, options);
  refuseNothing(plan);
  const { sources, tensors, loaded, prunable } = plan;
  const select = { ratios: [...ratios], scope, minKeep, threads, allowNonfinite: false };
  const call = { signal, progress: nativeProgress(options.onProgress) };
  const job = { sources, tensors, select, outputs: [] };
  const { selections } = await callNative((native, control) => native.pruneFiles(job, control), call);
  const count = { sources, tensors };
  const zeros = await callNative((native, control) => native.countZeros(count, threads, control), call);
  if (selections.length !== ratios.length || zeros.length !== prunable.length) {
    throw new SecateurError('INTERNAL', 'Expected a selection for each ratio and a count of zeros for each tensor');
  }
  return { loaded, prunable, zeros, selections: selections.map(withoutNaN) };
}

function withoutNaN({ threshold, ...rest }: Selection & { threshold: number }): Selection {
  return { ...rest, threshold: Number.isNaN(threshold) ? null : threshold };
}
