// What pruning and inspecting report: plain objects, the same for programs and for `--json`. Zeros are counted from
// the written file by the addon; nothing here repeats what was only planned.

import { SecateurError } from '../errors.js';
import type { DType, NativePruneResult, Scope } from '../native/contract.js';
import type { Plan } from './plan.js';
import type { Skipped } from './prunable.js';

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
  /** The magnitude below which its weights were removed. */
  threshold: number;
}

/** What `prune` did. */
export interface PruneReport {
  model: string;
  /** Null with `dryRun`. */
  output: string | null;
  scope: Scope;
  /** As asked. */
  ratio: number;
  /** All prunable weights together. */
  weights: number;
  removed: number;
  kept: number;
  /** The global threshold; null with scope `layer`. */
  threshold: number | null;
  tensors: PrunedTensor[];
  /** Tensors that look like weights and were left alone, and why. */
  skipped: Skipped[];
  /** Wall-clock time. */
  seconds: { select: number; apply: number; total: number };
  device: 'cpu';
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
  prunable: InspectedTensor[];
  skipped: Skipped[];
}

/** Zeros over weights. */
export function sparsityOf(zeros: number, weights: number): number {
  return weights === 0 ? 0 : zeros / weights;
}

/** The report of a run. `zeros` has one count for each of the plan's tensors. */
export function pruneReport(
  plan: Plan,
  asked: { output: string | null; scope: Scope; ratio: number },
  result: NativePruneResult,
  zeros: readonly number[],
  started: number,
): PruneReport {
  const selection = result.selections[0];
  if (selection?.tensors.length !== plan.prunable.length || zeros.length !== plan.prunable.length) {
    throw new SecateurError('INTERNAL', 'Expected one selection and one count of zeros for each tensor');
  }
  const tensors = plan.prunable.map(({ name, shape, dtype, weights }, index) => {
    const { removed, threshold } = selection.tensors[index] ?? { removed: 0, threshold: 0 };
    const zero = zeros[index] ?? 0;
    checkCount(name, { removed, threshold, zero });
    return { name, shape, dtype, weights, removed, sparsity: sparsityOf(zero, weights), threshold };
  });
  const weights = tensors.reduce((sum, tensor) => sum + tensor.weights, 0);
  const { removed } = selection;
  const threshold = asked.scope === 'global' ? selection.threshold : null;
  const { select, apply } = result.seconds;
  return {
    model: plan.loaded.path,
    ...asked,
    weights,
    removed,
    kept: weights - removed,
    threshold,
    tensors,
    skipped: plan.skipped,
    seconds: { select, apply, total: (performance.now() - started) / 1000 },
    device: 'cpu',
    threads: result.threads,
  };
}

/** Above a threshold of zero, all zeros are removed weights and all removed weights are zeros. */
function checkCount(
  name: string,
  { removed, threshold, zero }: { removed: number; threshold: number; zero: number },
): void {
  const wrong = threshold > 0 ? zero !== removed : zero < removed;
  if (!wrong) return;
  const what = `Expected ${removed} zeros in tensor ${name} of the written file, got ${zero}; please report this`;
  throw new SecateurError('INTERNAL', what, { tensor: name });
}
