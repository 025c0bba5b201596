// The paper's method: ADMM with one global ratio (K. Lee et al., Compression of Deep-Learning Models Through Global Weight
// Pruning Using ADMM, IJCIS 16:17, 2023), a hard pruning to exactly that ratio, and masked retraining. Written as phases.
import { invalidOption } from '../../errors.js';
import type { Scope } from '../../native/common-contract.js';
import { checkKeys, checkNumber } from '../../options.js';
import type { BatchSource } from '../batch-source.js';
import type { Trainer } from '../trainer.js';
import { type DataRate, defaultRates, type Phase, type Target } from './phases.js';
import { type MethodReport, runMethod } from './report.js';
import { type RunOptions, runKeys } from './run.js';

export interface AdmmOptions extends RunOptions {
  /** Removal ratio in [0, 1). */
  ratio: number;
  /** @default 'global' */
  scope?: Scope;
  /** Smallest fraction kept in each tensor, [0, 1]. @default 0 */
  minKeep?: number;
  /** Projections, each followed by `epochsPerIteration` epochs, 1 or more. @default 24 */
  iterations?: number;
  /** @default 1 */
  epochsPerIteration?: number;
  /** Weight of the pull: a number, or from one to another in equal factors. @default { from: 1e-4, to: 1e-2 } */
  rho?: number | { from: number; to: number };
  /**
   * Removal ratios of rounds before the last, rising: ADMM, pruning and retraining at each, then the mask is lifted for
   * the next. @default []
   */
  rounds?: readonly number[];
  /** @default a cosine from the trainer's rate to a tenth of it */
  learningRate?: DataRate;
  /** Epochs of masked retraining after each pruning. @default 12 */
  retrainEpochs?: number;
  /** @default a cosine from the trainer's rate to 0 */
  retrainLearningRate?: DataRate;
  /** Which weights stay: Z's support, or the largest of W. @default 'support' */
  mask?: 'support' | 'magnitude';
}

const positive = { least: Number.MIN_VALUE, below: Number.POSITIVE_INFINITY } as const;
const KEYS = [
  ...runKeys,
  ...['ratio', 'scope', 'minKeep', 'iterations', 'epochsPerIteration', 'rho', 'rounds', 'mask'],
  ...['learningRate', 'retrainEpochs', 'retrainLearningRate'],
];

/**
 * Prunes a trainer's model by ADMM.
 *
 * @throws SecateurError INVALID_OPTION, INVALID_DATA, DIVERGED, ABORTED (the checkpoint, if any, is written first).
 * @example
 * const report = await admm(trainer, batches, { ratio: 0.988, validation: testBatches });
 */
export async function admm(trainer: Trainer, source: BatchSource, options: AdmmOptions): Promise<MethodReport> {
  const phases = admmPhases({ ...defaultRates(trainer.options), ...options });
  const { ratio, scope = 'global' } = options;
  return await runMethod(trainer, source, { method: 'admm', ratio, scope, phases }, options);
}

/** The phases that the options stand for. */
export function admmPhases(options: AdmmOptions): Phase[] {
  checkKeys('option', Object.keys(options), KEYS);
  const { ratio, rounds = [], mask = 'support' } = options;
  checkNumber('ratio', ratio, { least: 0, below: 1 });
  for (const [index, round] of rounds.entries()) {
    checkNumber('rounds', round, { least: index === 0 ? 0 : Number(rounds[index - 1]), most: ratio });
  }
  if (mask !== 'support' && mask !== 'magnitude') throw invalidOption('mask', '"support" or "magnitude"', mask);
  const ratios = [...rounds, ratio];
  return ratios.flatMap((each, index) => round(options, each, ratios.length === 1 ? '' : ` ${index + 1}`));
}

function round(options: AdmmOptions, ratio: number, number: string): Phase[] {
  const { scope = 'global', minKeep = 0, iterations = 24, epochsPerIteration = 1, retrainEpochs = 12 } = options;
  const { learningRate = { type: 'cosine', learningRate: 1e-3, finalRate: 1e-4 }, mask = 'support' } = options;
  const { retrainLearningRate = { type: 'cosine', learningRate: 1e-3 } } = options;
  checkNumber('iterations', iterations, { least: 1, whole: true });
  checkNumber('epochsPerIteration', epochsPerIteration, { least: 1, whole: true });
  checkNumber('retrainEpochs', retrainEpochs, { least: 0, whole: true });
  const target: Target = { ratio, scope, minKeep };
  const rhos = rhosOf(iterations, options.rho);
  return [
    ...(number === '' || number === ' 1' ? [] : [{ kind: 'release', name: `lift the mask${number}` } as const]),
    {
      kind: 'admm',
      name: `ADMM${number}`,
      iterations: rhos.map((rho) => ({ rho, target })),
      epochsPerIteration,
      learningRate,
    },
    { kind: 'prune', name: `prune${number}`, by: mask, target },
    { kind: 'train', name: `retrain${number}`, epochs: retrainEpochs, learningRate: retrainLearningRate },
  ];
}

/** In equal factors from the first to the last. */
function rhosOf(count: number, rho: AdmmOptions['rho'] = { from: 1e-4, to: 1e-2 }): number[] {
  const { from, to } = typeof rho === 'number' ? { from: rho, to: rho } : rho;
  checkNumber('rho', from, positive);
  checkNumber('rho', to, positive);
  return Array.from({ length: count }, (_, index) => from * (to / from) ** (count === 1 ? 0 : index / (count - 1)));
}
