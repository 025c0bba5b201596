// The options of a sweep, and their checks.
import { invalidOption, SecateurError } from '../errors.js';
import type { Scope } from '../native/common-contract.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { checkKeys, checkNumber } from '../options.js';
import { checkObject, checkWord } from '../prune/options.js';
import type { NameFilters } from '../prune/prunable.js';
import type { InputSource } from '../training/batch-norm/recalibrate.js';
import type { SweepSettings } from './folder.js';
import type { Metrics, SweepPoint } from './report.js';
import { allSeries, isTrained, type SweepMethod, type SweepPlace, type SweepSeries } from './series.js';
import type { SweepTraining } from './training.js';

/** What an evaluator gets beside the model. */
export interface EvaluationCall {
  readonly signal: AbortSignal | undefined;
  /** How far it is, in any unit. */
  onProgress(done: number, total: number): void;
}

/**
 * Measures a model. The first of its numbers is the one that tables and charts show.
 *
 * @param model only for this call: its weights change afterwards.
 */
export type Evaluator = (model: ModelProto, call: EvaluationCall) => Promise<Metrics>;

/** How far a sweep is. */
export interface SweepProgress {
  /** The point under way; undefined: the dense model. */
  readonly place: SweepPlace | undefined;
  /** What is being done: `evaluate`, or the name of a phase of training. */
  readonly phase: string;
  /** Points that are finished, and all. */
  readonly finished: number;
  readonly points: number;
  /** Work that is done, and all of it: comparable numbers, for the time left. */
  readonly done: number;
  readonly total: number;
}

export interface SweepOptions extends NameFilters {
  /** Removal ratios, [0, 1), each once. */
  ratios: readonly number[];
  /** @default ['magnitude'] */
  methods?: readonly SweepMethod[] | undefined;
  /** @default ['global'] */
  scopes?: readonly Scope[] | undefined;
  /** Epochs of retraining, each a series of its own; 0 with `magnitude` is one-shot. @default [0] */
  retrainEpochs?: readonly number[] | undefined;
  /** Smallest fraction kept in each tensor, [0, 1]. @default 0 */
  minKeep?: number | undefined;
  /** Left out: nothing is measured, and only the weights are selected, which takes milliseconds. */
  evaluate?: Evaluator | undefined;
  /** Needed for `admm`, and to retrain. */
  training?: SweepTraining | undefined;
  /**
   * Adds, to each one-shot series, one whose BatchNormalization statistics are computed anew from this data (see
   * `recalibrateBatchNorm`). `settings`: what the points depend on beside the number of batches, such as augmentation.
   */
  recalibrate?: { source: InputSource; batches?: number | undefined; settings?: SweepSettings | undefined } | undefined;
  /**
   * Where finished points are kept, one small JSON file each, and the checkpoint of the point under way: the same call
   * later goes on from there. More ratios and series may be asked for then, but equal ones must have equal settings.
   */
  folder?: string | undefined;
  /** Writes every pruned model into the folder too. @default false */
  keepModels?: boolean | undefined;
  /** What `evaluate` depends on, such as the data's name: a folder refuses points that were made with another. */
  settings?: SweepSettings | undefined;
  /** @default 0: all cores */
  threads?: number | undefined;
  onProgress?: ((progress: SweepProgress) => void) | undefined;
  /** Called with each finished point; `found` where it was in the folder already. */
  onPoint?: ((point: SweepPoint, how: 'made' | 'found') => void) | undefined;
  signal?: AbortSignal | undefined;
}

const KEYS = [
  ...['ratios', 'methods', 'scopes', 'retrainEpochs', 'minKeep', 'include', 'exclude', 'evaluate', 'training'],
  ...['recalibrate', 'folder', 'keepModels', 'settings', 'threads', 'onProgress', 'onPoint', 'signal'],
];

/** What is to be made. */
export interface SweepPlan {
  readonly ratios: readonly number[];
  readonly series: readonly SweepSeries[];
  readonly minKeep: number;
  readonly threads: number;
}

/** @throws SecateurError INVALID_OPTION */
export function planSweep(options: SweepOptions): SweepPlan {
  checkObject(options);
  checkKeys('option', Object.keys(options), KEYS);
  const { ratios, methods = ['magnitude'], scopes = ['global'], retrainEpochs = [0] } = options;
  const { minKeep = 0, threads = 0, folder, keepModels } = options;
  checkList('ratios', ratios, (ratio) => checkNumber('ratios', ratio, { least: 0, below: 1 }));
  checkList('methods', methods, (method) => checkWord('methods', method, ['magnitude', 'admm']));
  checkList('scopes', scopes, (scope) => checkWord('scopes', scope, ['global', 'layer']));
  checkList('retrainEpochs', retrainEpochs, (epochs) =>
    checkNumber('retrainEpochs', epochs, { least: 0, whole: true }),
  );
  checkNumber('minKeep', minKeep, { least: 0, most: 1 });
  checkNumber('threads', threads, { least: 0, most: 1024, whole: true });
  if (keepModels && folder === undefined) throw invalidOption('keepModels', 'used with folder', keepModels);
  const series = allSeries({ methods, scopes, retrainEpochs, recalibrate: options.recalibrate !== undefined });
  checkRecalibration(options, series);
  if (series.some(isTrained) && (options.training === undefined || options.evaluate === undefined)) {
    throw new SecateurError('INVALID_OPTION', 'Expected training and evaluate with admm or retrainEpochs, got none', {
      option: 'training',
    });
  }
  return { ratios, series, minKeep, threads };
}

function checkRecalibration({ recalibrate, evaluate }: SweepOptions, series: readonly SweepSeries[]): void {
  if (recalibrate === undefined) return;
  const unused = evaluate === undefined || series.every(isTrained);
  if (unused)
    throw invalidOption('recalibrate', 'used with evaluate, and with a series that trains nothing', 'neither');
}

/** A list with something in it, and nothing twice. */
function checkList<T>(option: string, list: readonly T[], check: (item: T) => void): void {
  if (!Array.isArray(list) || list.length === 0) throw invalidOption(option, 'a list of one or more', list);
  for (const item of list) check(item);
  const twice = list.find((item, index) => list.indexOf(item) !== index);
  if (twice !== undefined) throw invalidOption(option, 'a list without repeats', list.join(', '));
}
