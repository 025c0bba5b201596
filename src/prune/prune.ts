// `prune`: sets the weights of smallest magnitude to zero and writes the model. The graph is read here; the weights
// are read, selected and written by the addon.

import { invalidOption, SecateurError } from '../errors.js';
import { callNative } from '../native/addon.js';
import type { NativePruneJob, NativePruneResult, Scope } from '../native/contract.js';
import { chooseDevice, DEVICES, type DeviceChoice } from '../native/device.js';
import { checkKeys, checkNumber } from '../options.js';
import { fixedRatio, type Granularity, type GranularityParts, parseGranularity } from './granularity.js';
import {
  checkFileOptions,
  checkFlag,
  checkObject,
  checkText,
  checkWord,
  type FileOptions,
  fileKeys,
  nativeProgress,
} from './options.js';
import { makePlan, type Plan, planOutputs } from './plan.js';
import { type PruneReport, pruneReport } from './report.js';

/** Options of `prune`. */
export interface PruneOptions extends FileOptions {
  /**
   * The .onnx file to write. May be the input: it is replaced when the output is complete. External data goes to
   * `OUTPUT.data` beside it. Needed unless `dryRun`.
   */
  output?: string | undefined;
  /**
   * The fraction of the prunable weights to remove, [0, 1): exactly `round(ratio * weights)` are removed; of groups as
   * many as fit into that. Needed unless the granularity is n:m, which has a ratio of its own.
   */
  ratio?: number | undefined;
  /**
   * What goes or stays as one: `weight`; `channel`, whole output channels with all that are coupled; `N:M`, such as
   * `2:4`; `block:RxC`, such as `block:4x4`. @default 'weight'
   */
  granularity?: Granularity | undefined;
  /** `global`: one threshold over all tensors together. `layer`: one a tensor. @default 'global' */
  scope?: Scope | undefined;
  /** The smallest fraction kept in each tensor, [0, 1]. @default 0 */
  minKeep?: number | undefined;
  /**
   * What selects: `cuda` a GPU, whose answer has the same bits, or an error with code CUDA; `auto` a GPU where the CUDA
   * library is there and works and takes the weights (float32, float16, bfloat16, one by one), else the CPU.
   * @default 'auto'
   */
  device?: DeviceChoice | undefined;
  /** Keep NaN and infinities and never remove them, instead of failing. @default false */
  allowNonfinite?: boolean | undefined;
  /** Select and report, but write nothing. @default false */
  dryRun?: boolean | undefined;
}

const keys = [...fileKeys, 'output', 'ratio', 'granularity', 'scope', 'minKeep', 'device', 'allowNonfinite', 'dryRun'];

/**
 * Prunes the model at `path` by one removal ratio over all its prunable weights.
 *
 * Everything but the removed weights stays byte for byte as it is; with external data, the entries that name the data
 * file change too. The output appears under its name only when it is complete.
 *
 * @returns A report that is counted from the written file.
 * @throws SecateurError See `SecateurErrorCode`; where it is thrown, no file was changed.
 * @example
 * const report = await prune('model.onnx', { output: 'pruned.onnx', ratio: 0.9 });
 */
export async function prune(path: string, options: PruneOptions): Promise<PruneReport> {
  const started = performance.now();
  checkPruneOptions(path, options);
  const { granularity = 'weight', scope = 'global', dryRun = false } = options;
  const parts = parseGranularity(granularity);
  const ratio = ratioOf(options, parts);
  const plan = makePlan(path, options, parts);
  refuseNothing(plan);
  const output = dryRun ? null : (options.output ?? null);
  const outputs = output === null ? [] : planOutputs(plan, output);
  const { sources, grouping } = plan;
  const tensors = [...plan.tensors, ...plan.following.map(({ native }) => native)];
  const cudaLibrary = chooseDevice(options.device ?? 'auto', cpuReason(plan));
  const device = cudaLibrary === undefined ? 'cpu' : 'cuda';
  const job = { sources, tensors, select: selectOptions(options, ratio), grouping, cudaLibrary, outputs };
  const call = { signal: options.signal, progress: nativeProgress(options.onProgress) };
  const result = await callNative((native, control) => native.pruneFiles(job, control), call);
  const uncounted = dryRun && grouping === undefined;
  const zeros = uncounted ? await expectedZeros(job, result, options.signal) : result.zeros;
  return pruneReport(plan, { output, granularity, scope, ratio, device }, result, zeros, started);
}

function checkPruneOptions(path: unknown, options: PruneOptions): void {
  checkObject(options);
  checkKeys('option', Object.keys(options), keys);
  checkFileOptions(path, options);
  const { output, scope, minKeep, device, allowNonfinite, dryRun } = options;
  if (minKeep !== undefined) checkNumber('minKeep', minKeep, { least: 0, most: 1 });
  if (scope !== undefined) checkWord('scope', scope, ['global', 'layer']);
  if (allowNonfinite !== undefined) checkFlag('allowNonfinite', allowNonfinite);
  if (dryRun !== undefined) checkFlag('dryRun', dryRun);
  if (output !== undefined || dryRun !== true) checkText('output', output);
  if (device !== undefined) checkWord('device', device, DEVICES);
}

/** Why only the CPU can select; undefined where a GPU can. */
function cpuReason({ grouping, tensors }: Plan): string | undefined {
  if (grouping !== undefined) return 'groups of weights are ranked by the CPU';
  const wide = tensors.find(({ dtype }) => dtype === 'float64');
  return wide && `tensor "${wide.name}" is float64, which GPUs do not take here`;
}

/** The ratio, which n:m has of its own. Refuses options that mean nothing for a granularity. */
function ratioOf({ ratio, scope, minKeep, allowNonfinite }: PruneOptions, parts: GranularityParts): number {
  if (scope === 'layer' && (parts.kind === 'channel' || parts.kind === 'within')) {
    const reason =
      parts.kind === 'channel' ? 'whose channels are coupled over layers' : 'which ranks each group by itself';
    throw invalidOption('scope', `"global" with this granularity, ${reason}`, scope);
  }
  const fixed = fixedRatio(parts);
  if (fixed === undefined) {
    checkNumber('ratio', ratio, { least: 0, below: 1 });
    return ratio as number;
  }
  if (ratio !== undefined && ratio !== fixed)
    throw invalidOption('ratio', `${fixed} with this granularity, or left out`, ratio);
  if (minKeep !== undefined && minKeep > 0) throw invalidOption('minKeep', '0 with this granularity', minKeep);
  if (allowNonfinite === true) throw invalidOption('allowNonfinite', 'false with this granularity', allowNonfinite);
  return fixed;
}

function selectOptions(
  { scope, minKeep, threads, allowNonfinite }: PruneOptions,
  ratio: number,
): NativePruneJob['select'] {
  return {
    ratios: [ratio],
    scope: scope ?? 'global',
    minKeep: minKeep ?? 0,
    threads: threads ?? 0,
    allowNonfinite: allowNonfinite ?? false,
  };
}

/** @throws SecateurError NOTHING_PRUNABLE */
export function refuseNothing({ loaded, prunable, skipped }: Plan): void {
  if (prunable.some(({ weights }) => weights > 0)) return;
  const [first] = skipped;
  const example = first === undefined ? '' : `, such as ${first.name}: ${first.reason}`;
  throw new SecateurError(
    'NOTHING_PRUNABLE',
    `Expected ${loaded.path} to have weights to prune, got none (${skipped.length} tensors were skipped${example})`,
    { path: loaded.path },
  );
}

/** What a dry run leaves uncounted: below a threshold above zero every zero is removed, else the old zeros stay. */
async function expectedZeros(
  { sources, tensors, select }: NativePruneJob,
  { selections }: NativePruneResult,
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const count = { sources, tensors };
  const present = await callNative((native, control) => native.countZeros(count, select.threads, control), { signal });
  return present.map((zeros, index) => Math.max(zeros, selections[0]?.tensors[index]?.removed ?? 0));
}
