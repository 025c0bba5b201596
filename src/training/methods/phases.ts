// What every method is made of: phases of training, one after the other, with projections or prunings between. The
// phases are data; run.ts carries them out.

import type { OptimizerOptions } from '../optimizer.js';
import type { ProjectionOptions } from '../parameter-store.js';
import type { PhaseRate } from '../phase-rate.js';
import type { ScheduleOptions } from '../schedules.js';

const DEFAULT_RATE = 1e-3;

/** A rate that can be written to a file. */
export type DataRate = Exclude<PhaseRate, (step: number) => number> | ScheduleOptions;

/** How much is removed, and from where. */
export type Target = Omit<ProjectionOptions, 'threads'>;

/** Plain training; under the mask, if there is one. */
export interface TrainPhase {
  readonly kind: 'train';
  readonly name: string;
  readonly epochs: number;
  readonly learningRate: DataRate;
}

/** ADMM: a projection, then `epochsPerIteration` epochs with the pull, for each iteration. */
export interface AdmmPhase {
  readonly kind: 'admm';
  readonly name: string;
  readonly iterations: readonly AdmmIteration[];
  readonly epochsPerIteration: number;
  readonly learningRate: DataRate;
}

export interface AdmmIteration {
  /** Weight of the pull, > 0. */
  readonly rho: number;
  readonly target: Target;
}

/** Magnitudes pruned step by step while training: a new mask at each epoch, of a rising ratio. */
export interface GradualPhase {
  readonly kind: 'gradual';
  readonly name: string;
  /** One an epoch. */
  readonly targets: readonly Target[];
  readonly learningRate: DataRate;
}

/** Zeroes exactly what the target says and freezes the mask. */
export interface PrunePhase {
  readonly kind: 'prune';
  readonly name: string;
  /** `support`: what Z keeps after a last projection. `magnitude`: the largest weights as they are. */
  readonly by: 'support' | 'magnitude';
  readonly target: Target;
}

/** Forgets the mask, so that zeros may grow again. */
export interface ReleasePhase {
  readonly kind: 'release';
  readonly name: string;
}

export type Phase = TrainPhase | AdmmPhase | GradualPhase | PrunePhase | ReleasePhase;

/** The rates of pruning and of retraining where a method is given none: cosines from the trainer's own rate. */
export function defaultRates({ optimizer: { learningRate } }: { optimizer: OptimizerOptions }) {
  const highest = typeof learningRate === 'number' ? learningRate : DEFAULT_RATE;
  return {
    learningRate: { type: 'cosine', learningRate: highest, finalRate: highest / 10 },
    retrainLearningRate: { type: 'cosine', learningRate: highest },
  } as const;
}

/** Epochs of training in a phase. */
export function epochsOf(phase: Phase): number {
  switch (phase.kind) {
    case 'train':
      return phase.epochs;
    case 'admm':
      return phase.iterations.length * phase.epochsPerIteration;
    case 'gradual':
      return phase.targets.length;
    default:
      return 0;
  }
}
