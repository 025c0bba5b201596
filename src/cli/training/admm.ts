// The options of ADMM's iterations and the learning rates of a method's phases, for the commands that prune while training.
import type { Command } from 'commander';
import type { AdmmOptions, DataRate } from '../../index.js';
import { integer, oneOf, real } from '../options.js';
import { highestRate, rateOf, type TrainingOptions } from './options.js';

export interface AdmmChoice extends TrainingOptions {
  iterations?: number;
  epochsPerIteration?: number;
  rho?: number;
  rhoEnd?: number;
  retrainLr?: number;
  mask?: 'support' | 'magnitude';
}

/** All but `--iterations`, which means something to other methods too. */
export function addAdmmOptions(command: Command): Command {
  return command
    .option('--epochs-per-iteration <n>', 'of admm (default: 1)', integer('--epochs-per-iteration', 1, 1e6))
    .option('--rho <number>', 'pull of the first iteration (default: 1e-4)', real('--rho', 1e-30, 1e30))
    .option('--rho-end <number>', 'pull of the last (default: 100 times the first)', real('--rho-end', 1e-30, 1e30))
    .option('--retrain-lr <rate>', 'highest rate of retraining (default: --lr)', real('--retrain-lr', 0, 1e6))
    .option(
      '--mask <from>',
      'support of Z, or magnitude of W (default: support)',
      oneOf('--mask', ['support', 'magnitude']),
    );
}

/** The library's options of ADMM. */
export function admmOf(options: AdmmChoice): Pick<AdmmOptions, 'iterations' | 'epochsPerIteration' | 'rho' | 'mask'> {
  const { iterations, epochsPerIteration, rho: from = 1e-4, rhoEnd: to = 100 * from, mask } = options;
  return {
    rho: { from, to },
    ...(iterations !== undefined && { iterations }),
    ...(epochsPerIteration !== undefined && { epochsPerIteration }),
    ...(mask !== undefined && { mask }),
  };
}

/** The rates of pruning and of retraining. */
export function methodRates(options: AdmmChoice): { learningRate: DataRate; retrainLearningRate: DataRate } {
  return {
    learningRate: rateOf(options, 0.1),
    retrainLearningRate: rateOf({ ...options, lr: options.retrainLr ?? highestRate(options) }),
  };
}
