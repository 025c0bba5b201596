// Runs the phases of a method and reports: accuracy before and after, what every layer kept, and how it went.

import { Batches } from '../../data/batches.js';
import { invalidOption } from '../../errors.js';
import type { Scope } from '../../native/common-contract.js';
import type { Granularity } from '../../prune/granularity.js';
import type { BatchSource } from '../batch-source.js';
import type { Evaluation } from '../evaluation.js';
import type { Trainer } from '../trainer.js';
import { epochsOf, type Phase } from './phases.js';
import type { EpochRecord, IterationRecord, Metrics, PruningRecord } from './record.js';
import { type RunOptions, runPhases } from './run.js';

/** A prunable tensor after a method. */
export interface TensorReport {
  name: string;
  shape: number[];
  weights: number;
  /** Weights that are not zero. */
  kept: number;
  /** Fraction of weights that are zero. */
  sparsity: number;
}

export interface Score extends Pick<Evaluation, 'accuracy'> {
  /** On the validation data; null without. */
  readonly loss: number | null;
  /** Of the run's measurement, where it has one. */
  readonly metrics?: Metrics;
}

export interface MethodReport {
  method: 'train' | 'admm' | 'magnitude';
  scope: Scope | null;
  /** Asked for; null where nothing was. */
  ratio: number | null;
  /** What was pruned as one. */
  granularity: Granularity;
  /** Fraction of the prunable weights that are zero, counted. */
  sparsity: number;
  epochs: number;
  /** Of the batches; null where the data are not a data set's. */
  seed: number | null;
  /** Of work, over all sittings. */
  seconds: number;
  /** On the validation data or by the measurement; null without either. */
  before: Score | null;
  after: Score | null;
  tensors: TensorReport[];
  history: { epochs: EpochRecord[]; iterations: IterationRecord[]; prunings: PruningRecord[] };
}

export interface MethodPlan {
  readonly method: MethodReport['method'];
  readonly ratio: number | null;
  readonly scope: Scope | null;
  readonly phases: readonly Phase[];
}

/** Runs a plan. Where a moving average is kept, it becomes the parameters at the end. */
export async function runMethod(
  trainer: Trainer,
  source: BatchSource,
  { method, ratio, scope, phases }: MethodPlan,
  options: RunOptions,
): Promise<MethodReport> {
  checkRatio(trainer, ratio);
  const before = await score(trainer, options);
  const { seconds, ...history } = await runPhases(trainer, source, phases, options);
  trainer.adoptAverage();
  const after = await score(trainer, options);
  const tensors = tensorReports(trainer);
  const sum = (pick: (tensor: TensorReport) => number) => tensors.reduce((total, tensor) => total + pick(tensor), 0);
  return {
    method,
    scope,
    ratio,
    granularity: trainer.trainable.grouping?.granularity ?? 'weight',
    sparsity:
      sum(({ weights, kept }) => weights - kept) /
      Math.max(
        1,
        sum(({ weights }) => weights),
      ),
    epochs: phases.reduce((total, phase) => total + epochsOf(phase), 0),
    seed: source instanceof Batches ? source.seed : null,
    seconds,
    before,
    after,
    tensors,
    history,
  };
}

/** Of the parameters as they are. */
async function score(trainer: Trainer, { validation, measurement, signal }: RunOptions): Promise<Score | null> {
  if (validation === undefined && measurement === undefined) return null;
  const evaluation = validation && (await trainer.evaluate(validation, { signal }));
  const metrics = measurement && (await measurement.of(trainer.modelWith('current'), signal));
  return {
    loss: evaluation?.loss ?? null,
    accuracy: evaluation?.accuracy ?? null,
    ...(metrics !== undefined && { metrics }),
  };
}

/** N:m has a ratio of its own. */
function checkRatio({ trainable: { grouping } }: Trainer, ratio: number | null): void {
  if (ratio === null || grouping?.ratio === undefined || ratio === grouping.ratio) return;
  throw invalidOption('ratio', `${grouping.ratio} with granularity ${grouping.granularity}`, ratio);
}

function tensorReports({ store, trainable: { parameters } }: Trainer): TensorReport[] {
  const views = store.views('parameters');
  return parameters.flatMap(({ name, shape, prune }, index) => {
    if (!prune) return [];
    const view = views[index] ?? new Float32Array(0);
    let kept = 0;
    for (const weight of view) if (weight !== 0) kept += 1;
    const weights = view.length;
    return [{ name, shape: [...shape], weights, kept, sparsity: (weights - kept) / Math.max(1, weights) }];
  });
}
