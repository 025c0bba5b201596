// Points that train: a new trainer on the dense model, one of the methods to its end, and what is left in every layer.

import type { BatchSource } from '../training/batch-source.js';
import { type AdmmOptions, admm } from '../training/methods/admm.js';
import { magnitude } from '../training/methods/magnitude.js';
import type { DataRate } from '../training/methods/phases.js';
import type { MethodReport } from '../training/methods/report.js';
import type { RunOptions } from '../training/methods/run.js';
import type { Trainer } from '../training/trainer.js';
import type { SweepSettings } from './folder.js';
import type { SweepPlace } from './series.js';

/** How points are trained. */
export interface SweepTraining {
  /** Makes a trainer of the dense model, and the batches to train it on. Called for each point; the trainer is closed after it. */
  open: (model: string) => Promise<{ trainer: Trainer; source: BatchSource }>;
  /** Data to measure accuracy with after each epoch, for the history in checkpoints. @default none: it costs time */
  validation?: BatchSource | undefined;
  /** Of ADMM. */
  admm?: Pick<AdmmOptions, 'iterations' | 'epochsPerIteration' | 'rho' | 'mask'> | undefined;
  /** Of ADMM's iterations. @default a cosine from the trainer's rate to a tenth of it */
  learningRate?: DataRate | undefined;
  /** @default a cosine from the trainer's rate to 0 */
  retrainLearningRate?: DataRate | undefined;
  /**
   * Where something is retrained, `magnitude` retrains for the epochs of ADMM's iterations too, so that both have the same
   * epochs. @default false
   */
  sameEpochs?: boolean | undefined;
  /** What else the results depend on (optimizer, augmentation): a folder refuses points that were made with another. */
  settings?: SweepSettings | undefined;
}

const ITERATIONS = 24;

/** Epochs of training of a point. */
export function epochsOfPlace({ method, retrainEpochs }: SweepPlace, training: SweepTraining | undefined): number {
  const { iterations = ITERATIONS, epochsPerIteration = 1 } = training?.admm ?? {};
  const ofAdmm = iterations * epochsPerIteration;
  if (method === 'admm') return ofAdmm + retrainEpochs;
  return retrainEpochs > 0 && training?.sameEpochs ? ofAdmm + retrainEpochs : retrainEpochs;
}

/** Prunes and trains; the trainer has the result. */
export async function trainPoint(
  { trainer, source }: Awaited<ReturnType<SweepTraining['open']>>,
  place: SweepPlace,
  { minKeep, ...training }: SweepTraining & { minKeep: number },
  run: RunOptions,
): Promise<MethodReport> {
  const { ratio, scope, retrainEpochs } = place;
  const { learningRate, retrainLearningRate, validation } = training;
  const common = {
    ...run,
    ...(validation !== undefined && { validation }),
    ...{ ratio, scope, minKeep },
    ...(learningRate !== undefined && { learningRate }),
    ...(retrainLearningRate !== undefined && { retrainLearningRate }),
  };
  if (place.method === 'admm') {
    return await admm(trainer, source, { iterations: ITERATIONS, ...common, ...training.admm, retrainEpochs });
  }
  return await magnitude(trainer, source, { ...common, retrainEpochs: epochsOfPlace(place, training) });
}

/** What the training of a point depends on. */
export function trainingSettings({ admm: options, settings, ...training }: SweepTraining): SweepSettings {
  const { learningRate = null, retrainLearningRate = null, sameEpochs = false } = training;
  return { ...settings, admm: options ?? null, learningRate, retrainLearningRate, sameEpochs };
}
