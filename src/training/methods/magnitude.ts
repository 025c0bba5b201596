// The baseline: the smallest weights are removed, at once or at a rising ratio, and the others retrained under the mask.
import { invalidOption } from '../../errors.js';
import type { Scope } from '../../native/common-contract.js';
import { checkKeys, checkNumber } from '../../options.js';
import type { BatchSource } from '../batch-source.js';
import type { Trainer } from '../trainer.js';
import { type DataRate, defaultRates, type Phase, type Target } from './phases.js';
import { type MethodReport, runMethod } from './report.js';
import { type RunOptions, runKeys } from './run.js';

export interface MagnitudeOptions extends RunOptions {
  /** Removal ratio in [0, 1). */
  ratio: number;
  /** @default 'global' */
  scope?: Scope;
  /** Smallest fraction kept in each tensor, [0, 1]. @default 0 */
  minKeep?: number;
  /** `one-shot`: all at once. `gradual`: a new mask each epoch of `rampEpochs`, of a cubically rising ratio. */
  schedule?: 'one-shot' | 'gradual';
  /** Of `gradual`, 1 or more. @default 24 */
  rampEpochs?: number;
  /** Of `gradual`: the ratio that the rise begins at, such as that of a model which is pruned already. @default 0 */
  startRatio?: number;
  /** @default a cosine from the trainer's rate to a tenth of it */
  learningRate?: DataRate;
  /** @default 12 */
  retrainEpochs?: number;
  /** @default a cosine from the trainer's rate to 0 */
  retrainLearningRate?: DataRate;
}

const KEYS = [
  ...runKeys,
  ...[
    'ratio',
    'scope',
    'minKeep',
    'schedule',
    'rampEpochs',
    'startRatio',
    'learningRate',
    'retrainEpochs',
    'retrainLearningRate',
  ],
];

/**
 * Prunes a trainer's model by magnitude.
 *
 * @throws SecateurError INVALID_OPTION, INVALID_DATA, DIVERGED, ABORTED.
 */
export async function magnitude(
  trainer: Trainer,
  source: BatchSource,
  options: MagnitudeOptions,
): Promise<MethodReport> {
  const phases = magnitudePhases({ ...defaultRates(trainer.options), ...options });
  const { ratio, scope = 'global' } = options;
  return await runMethod(trainer, source, { method: 'magnitude', ratio, scope, phases }, options);
}

/** The phases that the options stand for. */
export function magnitudePhases(options: MagnitudeOptions): Phase[] {
  checkKeys('option', Object.keys(options), KEYS);
  const { ratio, scope = 'global', minKeep = 0, schedule = 'one-shot', rampEpochs = 24, retrainEpochs = 12 } = options;
  const { startRatio = 0 } = options;
  const { learningRate = { type: 'cosine', learningRate: 1e-3, finalRate: 1e-4 } } = options;
  const { retrainLearningRate = { type: 'cosine', learningRate: 1e-3 } } = options;
  checkNumber('ratio', ratio, { least: 0, below: 1 });
  checkNumber('rampEpochs', rampEpochs, { least: 1, whole: true });
  checkNumber('startRatio', startRatio, { least: 0, most: ratio });
  checkNumber('retrainEpochs', retrainEpochs, { least: 0, whole: true });
  if (schedule !== 'one-shot' && schedule !== 'gradual') {
    throw invalidOption('schedule', '"one-shot" or "gradual"', schedule);
  }
  const target: Target = { ratio, scope, minKeep };
  const targets = Array.from({ length: rampEpochs }, (_, epoch) => ({
    ...target,
    ratio: cubic(startRatio, ratio, epoch / rampEpochs),
  }));
  return [
    ...(schedule === 'gradual' ? [{ kind: 'gradual', name: 'gradual pruning', targets, learningRate } as const] : []),
    { kind: 'prune', name: 'prune', by: 'magnitude', target },
    { kind: 'train', name: 'retrain', epochs: retrainEpochs, learningRate: retrainLearningRate },
  ];
}

/** Steep at first, while many weights can be spared (M. Zhu and S. Gupta, To prune, or not to prune, 2017). */
function cubic(from: number, to: number, part: number): number {
  return to + (from - to) * (1 - part) ** 3;
}
