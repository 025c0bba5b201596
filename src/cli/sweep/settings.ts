// What the options of `secateur sweep` mean to the library: the evaluator, the training, and what both depend on.
import { invalidOption } from '../../errors.js';
import {
  type Evaluator,
  evaluate,
  openDataset,
  type SweepMethod,
  type SweepOptions,
  type SweepTraining,
} from '../../index.js';
import { required } from '../options.js';
import { type RecalibrationChoice, recalibrationOf } from '../recalibration.js';
import { type AdmmChoice, addAdmmOptions, admmOf, methodRates } from '../training/admm.js';
import { lossOf } from '../training/loss.js';
import { openBatches, openTrainer, wholeSet } from '../training/options.js';

export { addAdmmOptions };

export interface SweepChoice extends AdmmChoice, RecalibrationChoice {
  data?: string;
  ratios?: number[];
  method?: SweepMethod[];
  scope?: ('global' | 'layer')[];
  retrainEpochs?: number[];
  sameEpochs?: boolean;
  minKeep?: number;
  keepModels?: boolean;
}

/** Options that only training heeds: without any they would be ignored in silence. */
const ofTraining = [
  ...['batch', 'augment', 'labelSmoothing', 'optimizer', 'lr', 'schedule', 'momentum', 'weightDecay', 'clip'],
  ...['average', 'accumulate', 'trainable', 'frozen', 'retrainLr', 'sameEpochs', 'seed'],
] as const;
const ofAdmm = ['iterations', 'epochsPerIteration', 'rho', 'rhoEnd', 'mask'] as const;

/** Everything of a sweep but its folder and what to do with progress. */
export async function sweepOptionsOf(options: SweepChoice): Promise<SweepOptions & { data: string | null }> {
  const ratios = required(options.ratios, '--ratios LIST', 'the fractions to remove, such as 0.1:0.9:0.1');
  const { method: methods = ['magnitude'], scope: scopes = ['global'], retrainEpochs = [0] } = options;
  const trains = methods.includes('admm') || retrainEpochs.some((epochs) => epochs > 0);
  refuseUnused(options, { trains, admm: methods.includes('admm') });
  const { data, minKeep = 0, include = [], exclude = [], threads = 0 } = options;
  const common = { ratios, methods, scopes, retrainEpochs, minKeep, include, exclude, threads };
  const recalibrate = await recalibrationOf(options);
  if (data === undefined && !trains) return { ...common, data: null };
  required(data, '--data WHERE', 'the data to measure with, and to train on');
  const test = await openDataset(data as string, 'test');
  const { loss = 'cross-entropy', lossOutput = null, shape = null } = options;
  return {
    ...common,
    recalibrate,
    data: test.name,
    evaluate: evaluatorOf(options, wholeSet(test)),
    settings: { data: `${test.name}, ${test.length} samples`, loss, lossOutput, shape },
    ...(trains && { training: await trainingOf(options) }),
  };
}

function refuseUnused(options: SweepChoice, { trains, admm }: { trains: boolean; admm: boolean }): void {
  const check = (names: readonly (keyof SweepChoice)[], used: boolean, needed: string) => {
    const name = names.find((each) => options[each] !== undefined);
    if (used || name === undefined) return;
    const option = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw invalidOption(option, `used with ${needed}`, 'a sweep without');
  };
  check(ofAdmm, admm, '--method admm');
  check(ofTraining, trains, '--method admm or --retrain-epochs');
}

function evaluatorOf(options: SweepChoice, source: ReturnType<typeof wholeSet>): Evaluator {
  const { labelSmoothing: _, ...measured } = options;
  const { threads = 0 } = options;
  return async (model, { signal, onProgress }) => {
    const report = (done: number, total = done) => onProgress(done, total);
    const { loss, accuracy } = await evaluate(model, source, {
      ...lossOf(measured),
      threads,
      signal,
      onProgress: report,
    });
    return accuracy === null ? { loss } : { accuracy, loss };
  };
}

async function trainingOf(options: SweepChoice): Promise<SweepTraining> {
  const { batches } = await openBatches(options);
  const { sameEpochs = false } = options;
  const names = [...ofTraining.filter((name) => name !== 'sameEpochs' && name !== 'retrainLr'), 'data'] as const;
  return {
    open: (model) => openTrainer(model, options),
    source: batches,
    admm: admmOf(options),
    ...methodRates(options),
    sameEpochs,
    settings: { training: Object.fromEntries(names.map((name) => [name, options[name] ?? null])) },
  };
}
