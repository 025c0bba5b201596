// Plain training as a method: one phase, with the same checkpoints, resuming and report as the others.
import { checkKeys, checkNumber } from '../../options.js';
import type { BatchSource } from '../batch-source.js';
import type { Trainer } from '../trainer.js';
import { type DataRate, defaultRates } from './phases.js';
import { type MethodReport, runMethod } from './report.js';
import { type RunOptions, runKeys } from './run.js';

export interface TrainOptions extends RunOptions {
  /** @default 10 */
  epochs?: number;
  /** @default a cosine from the trainer's rate to 0 */
  learningRate?: DataRate;
  /**
   * Keeps the zeros that prunable weights have at the start: training of a model that is pruned already. @default false
   */
  keepZeros?: boolean;
}

const KEYS = [...runKeys, ...['epochs', 'learningRate', 'keepZeros']];

/**
 * Trains for some epochs.
 *
 * @throws SecateurError INVALID_OPTION, INVALID_DATA, DIVERGED, ABORTED.
 */
export async function train(trainer: Trainer, source: BatchSource, options: TrainOptions = {}): Promise<MethodReport> {
  checkKeys('option', Object.keys(options), KEYS);
  const { epochs = 10, learningRate = defaultRates(trainer.options).retrainLearningRate, keepZeros = false } = options;
  checkNumber('epochs', epochs, { least: 0, whole: true });
  if (keepZeros) trainer.store.setMask('zeros');
  const phases = [{ kind: 'train', name: keepZeros ? 'train, zeros kept' : 'train', epochs, learningRate } as const];
  return await runMethod(trainer, source, { method: 'train', ratio: null, scope: null, phases }, options);
}
