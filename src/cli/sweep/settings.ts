// What the options of `secateur sweep` mean to the library: the evaluator, the training, and what both depend on.
import { invalidOption } from '../../errors.js';
import {
  type Evaluator,
  evaluate,
  evaluateDetection,
  openDataset,
  openDetection,
  type SweepMethod,
  type SweepOptions,
  type SweepTraining,
} from '../../index.js';
import { required } from '../options.js';
import {
  checkRecalibration,
  type RecalibrationChoice,
  type RecalibrationData,
  recalibrationOf,
} from '../recalibration.js';
import { type AdmmChoice, admmOf, methodRates } from '../training/admm.js';
import { checkTask } from '../training/detection-options.js';
import { lossOf } from '../training/loss.js';
import { wholeSet } from '../training/options.js';
import { openTask } from '../training/task.js';

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

interface SharedOptions extends SweepOptions {
  data: string | null;
  recalibration?: RecalibrationData | undefined;
}

/** Options that only training heeds: without any they would be ignored in silence. */
const ofTraining = [
  ...['batch', 'augment', 'labelSmoothing', 'optimizer', 'lr', 'schedule', 'momentum', 'weightDecay', 'clip'],
  ...['average', 'accumulate', 'trainable', 'frozen', 'retrainLr', 'sameEpochs', 'seed'],
  ...['boxGain', 'objectnessGain', 'classGain', 'matchThreshold', 'measureEvery'],
] as const;
const ofAdmm = ['iterations', 'epochsPerIteration', 'rho', 'rhoEnd', 'mask'] as const;

/** Everything of a sweep that its models share, but for the folder and what to do with progress. */
export async function sweepOptionsOf(options: SweepChoice): Promise<SharedOptions> {
  const ratios = required(options.ratios, '--ratios LIST', 'the fractions to remove, such as 0.1:0.9:0.1');
  const { method: methods = ['magnitude'], scope: scopes = ['global'], retrainEpochs = [0] } = options;
  const trains = methods.includes('admm') || retrainEpochs.some((epochs) => epochs > 0);
  refuseUnused(options, { trains, admm: methods.includes('admm') });
  checkTask(options);
  checkRecalibration(options);
  const { data, minKeep = 0, include = [], exclude = [], threads = 0 } = options;
  const common = { ratios, methods, scopes, retrainEpochs, minKeep, include, exclude, threads };
  const recalibration = await recalibrationOf(options);
  if (data === undefined && !trains) return { ...common, data: null };
  required(data, '--data WHERE', 'the data to measure with, and to train on');
  const { name, length, evaluate } = await (options.task === 'detection' ? detectorMeasure : classifierMeasure)(
    options,
  );
  const { task = null, loss = 'cross-entropy', lossOutput = null, shape = null, size = null } = options;
  return {
    ...common,
    recalibration,
    data: name,
    evaluate,
    settings: { task, data: `${name}, ${length} samples`, loss, lossOutput, shape, size },
    ...(trains && { training: trainingOf(options) }),
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

/** How models are measured, and on what. */
interface Measure {
  name: string;
  length: number;
  evaluate: Evaluator;
}

async function classifierMeasure({ labelSmoothing: _, ...options }: SweepChoice): Promise<Measure> {
  const { data = '', threads = 0 } = options;
  const test = await openDataset(data, 'test');
  const source = wholeSet(test);
  return {
    name: test.name,
    length: test.length,
    evaluate: async (model, { signal, onProgress: report }) => {
      const onProgress = (done: number, total = done) => report(done, total);
      const { loss, accuracy } = await evaluate(model, source, { ...lossOf(options), threads, signal, onProgress });
      return accuracy === null ? { loss } : { accuracy, loss };
    },
  };
}

async function detectorMeasure({ data = '', threads = 0, size }: SweepChoice): Promise<Measure> {
  const test = await openDetection(data, 'test');
  return {
    name: test.name,
    length: test.images.length,
    evaluate: async (model, { signal, onProgress }) => {
      const options = { ...(size !== undefined && { size }), threads, signal, onProgress };
      const { ap50, ap } = await evaluateDetection(model, test, options);
      return { ...(ap50 !== null && { ap50 }), ...(ap !== null && { ap }) };
    },
  };
}

function trainingOf(options: SweepChoice): SweepTraining {
  const { sameEpochs = false } = options;
  const names = [...ofTraining.filter((name) => name !== 'sameEpochs' && name !== 'retrainLr'), 'data'] as const;
  return {
    open: async (model) => {
      const { trainer, batches: source } = await openTask(model, options);
      return { trainer, source };
    },
    admm: admmOf(options),
    ...methodRates(options),
    sameEpochs,
    settings: { training: Object.fromEntries(names.map((name) => [name, options[name] ?? null])) },
  };
}
