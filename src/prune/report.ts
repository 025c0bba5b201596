// What pruning and inspecting report: plain objects, the same for programs and for `--json`. Zeros are counted from
// the written file by the addon; nothing here repeats what was only planned.

import { SecateurError } from '../errors.js';
import type { DType, NativePruneResult, Scope } from '../native/contract.js';
import type { NativeGroupCounts } from '../native/groups-contract.js';
import type { MacTotals } from '../onnx/macs.js';
import type { Granularity } from './granularity.js';
import type { Plan } from './plan.js';
import type { Prunable, Skipped } from './prunable.js';

/** One pruned tensor. */
export interface PrunedTensor {
  /** Unique in the model; in a subgraph a path. */
  name: string;
  shape: number[];
  dtype: DType;
  weights: number;
  /** How many weights were selected for removal, zeros among them that were there before. */
  removed: number;
  /** Zeros over weights in the written file; 0 for an empty tensor. With `dryRun`, what it would be. */
  sparsity: number;
  /** The magnitude below which its weights were removed; of groups the root mean square. Null for n:m. */
  threshold: number | null;
  /** Its groups: output channels, blocks, or groups of m. Null for `weight`. */
  groups: number | null;
  /** Groups of which no weight is left; null for `weight` and n:m. */
  removedGroups: number | null;
}

/** A vector that lost elements with its channels: a bias, the scale or offset of a BatchNormalization. */
export interface FollowingVector {
  name: string;
  shape: number[];
  dtype: DType;
  /** Elements that were set to zero; no part of `removed`. */
  zeroed: number;
}

/** What `prune` did. */
export interface PruneReport {
  model: string;
  /** Null with `dryRun`. */
  output: string | null;
  /** What went or stayed as one. */
  granularity: Granularity;
  scope: Scope;
  /** As asked; with n:m (m - n) / m. */
  ratio: number;
  /** All prunable weights together. */
  weights: number;
  removed: number;
  kept: number;
  /** The global threshold; of groups a root mean square. Null with scope `layer` and for n:m. */
  threshold: number | null;
  /**
   * What was ranked and what of it went: sets of coupled channels, or blocks; for n:m the groups of m. Null for `weight`.
   */
  groups: { all: number; removed: number | null } | null;
  tensors: PrunedTensor[];
  /** Vectors that became zero with their channels. */
  following: FollowingVector[];
  /** Tensors that look like weights and were left alone, and why. */
  skipped: Skipped[];
  /** Wall-clock time. */
  seconds: { select: number; apply: number; total: number };
  /** What has selected. */
  device: 'cpu' | 'cuda';
  threads: number;
}

/** One prunable tensor as it is. */
export interface InspectedTensor {
  name: string;
  shape: number[];
  dtype: DType;
  weights: number;
  /** -0 counts as zero. */
  zeros: number;
  sparsity: number;
  /** The operator that it is the weight of. */
  op: string;
}

/** What is in a model. */
export interface InspectReport {
  model: string;
  /** The version of ONNX's own operator set; null where the model imports none. */
  opset: number | null;
  /** Elements of all floating-point and quantised tensors of rank 1 or more. */
  parameters: number;
  /** Multiply-accumulates for one image. */
  macs: MacTotals;
  prunable: InspectedTensor[];
  skipped: Skipped[];
}

/** Zeros over weights. */
export function sparsityOf(zeros: number, weights: number): number {
  return weights === 0 ? 0 : zeros / weights;
}

/** The report of a run. `zeros` has one count for each of the plan's tensors, then for the vectors that follow. */
export function pruneReport(
  plan: Plan,
  asked: { output: string | null; granularity: Granularity; scope: Scope; ratio: number; device: 'cpu' | 'cuda' },
  result: NativePruneResult,
  zeros: readonly number[],
  started: number,
): PruneReport {
  const selection = result.selections[0];
  const counted = plan.prunable.length + plan.following.length;
  if (selection?.tensors.length !== counted || zeros.length !== counted) {
    throw new SecateurError('INTERNAL', 'Expected one selection and one count of zeros for each tensor');
  }
  const tensors = plan.prunable.map((_, index) => prunedTensor(plan, result, index, zeros[index] ?? 0));
  const weights = tensors.reduce((sum, tensor) => sum + tensor.weights, 0);
  const { removed } = selection;
  const { select, apply } = result.seconds;
  const { groups } = result;
  const within = plan.grouping?.rule === 'within';
  return {
    model: plan.loaded.path,
    ...asked,
    weights,
    removed,
    kept: weights - removed,
    threshold: asked.scope === 'global' ? finite(selection.threshold) : null,
    groups: groups === undefined ? null : { all: groups.groups, removed: within ? null : groups.removedGroups },
    tensors,
    following: followingVectors(plan, groups),
    skipped: plan.skipped,
    seconds: { select, apply, total: (performance.now() - started) / 1000 },
    threads: result.threads,
  };
}

const finite = (value: number): number | null => (Number.isNaN(value) ? null : value);

function prunedTensor(
  { prunable, grouping }: Plan,
  { selections, groups }: NativePruneResult,
  index: number,
  zero: number,
): PrunedTensor {
  const { name, shape, dtype, weights } = prunable[index] as Prunable;
  const { removed, threshold } = selections[0]?.tensors[index] ?? { removed: 0, threshold: 0 };
  const own = groups?.tensors[index];
  // Above a threshold of zero, all zeros are removed weights; groups that stay may have zeros of their own.
  const wrong = threshold > 0 && groups === undefined ? zero !== removed : zero < removed;
  if (wrong) {
    const what = `Expected ${removed} zeros in tensor ${name} of the written file, got ${zero}; please report this`;
    throw new SecateurError('INTERNAL', what, { tensor: name });
  }
  const sparsity = sparsityOf(zero, weights);
  const removedGroups = own === undefined || grouping?.rule === 'within' ? null : own.removedGroups;
  const counts = { groups: own?.groups ?? null, removedGroups };
  return { name, shape, dtype, weights, removed, sparsity, threshold: finite(threshold), ...counts };
}

function followingVectors({ prunable, following }: Plan, groups: NativeGroupCounts | undefined): FollowingVector[] {
  const vectors = following.map(({ tensor: { name, shape, dtype } }, index) => {
    return { name, shape, dtype, zeroed: groups?.tensors[prunable.length + index]?.removed ?? 0 };
  });
  return vectors.filter(({ zeroed }) => zeroed > 0);
}
