// The trainer: a model's parameters in the addon's memory, and a thread that takes steps on them. It knows steps, epochs
// and evaluations; what to do when is the methods' business (methods/).
import { aborted, SecateurError } from '../errors.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { writeModel } from '../onnx/write.js';
import { checkKeys, checkNumber } from '../options.js';
import { type BatchSource, batchesPerEpoch, epochOf, type SourceBatch } from './batch-source.js';
import { EngineClient } from './engine/client.js';
import type { StepResult } from './engine/plan.js';
import { type EvaluateOptions, type Evaluation, evaluateBatches } from './evaluation.js';
import { type LoadedTrainable, loadTrainable, withAverages } from './model-file.js';
import type { OptimizerOptions } from './optimizer.js';
import type { ParameterStore } from './parameter-store.js';
import { type PhaseRate, phaseSchedule } from './phase-rate.js';
import { enginePlan } from './prepare-engine.js';
import type { Schedule } from './schedules.js';
import type { Trainable, TrainableOptions } from './trainable.js';

export interface TrainerOptions extends TrainableOptions, EngineOptions {}

/** How steps are taken. */
export interface EngineOptions {
  /** @default { type: 'adamw', learningRate: 1e-3 } */
  optimizer?: OptimizerOptions;
  /** Batches whose gradients make one step, 1 or more; the step goes by the mean of the batches' means. @default 1 */
  accumulate?: number;
  /** Keeps a moving average of the parameters with this decay, [0, 1); 0 is off. @default 0 */
  averageDecay?: number;
  /** The most threads; 0 means all cores. Results depend on it in the last bits. @default 0 */
  threads?: number;
}

/** Passes over the data. */
export interface FitOptions {
  /** The epoch to end before. @default 1 */
  epochs?: number;
  /** Where to begin; what lies before it is left out. @default { epoch: 0, batch: 0 } */
  from?: { readonly epoch: number; readonly batch: number };
  /** In place of the optimizer's: a rate, a schedule over these epochs, or a function of the step in them. */
  learningRate?: PhaseRate;
  /** Weight of the ADMM pull towards Z, >= 0; needs a projection before. @default 0 */
  rho?: number;
  /**
   * Begins the next step while the caller still looks at the one before, so that the training thread never waits. Between
   * two steps the parameters must be left alone then; at the end of the iteration, however it comes, no step is under way.
   * @default false
   */
  lookahead?: boolean;
  /** Ends between two steps with a SecateurError ABORTED. */
  signal?: AbortSignal | undefined;
}

/** What a step of `fit` did. */
export interface Step {
  /** Steps of the optimizer so far. */
  readonly step: number;
  readonly epoch: number;
  /** The last batch of the step, from 0, and how many the epoch has; undefined where a source does not say. */
  readonly batch: number;
  readonly batches: number | undefined;
  readonly samples: number;
  /** Mean over the step's samples. */
  readonly loss: number;
  readonly learningRate: number;
  /** Over all tensors, before clipping. */
  readonly gradientNorm: number;
  /** Milliseconds of the step in the training thread, and of those in ONNX Runtime. */
  readonly totalMs: number;
  readonly runtimeMs: number;
}

interface PlannedStep {
  readonly group: readonly SourceBatch[];
  readonly epoch: number;
  readonly batches: number | undefined;
  readonly learningRate: number;
  readonly rho: number;
}

const FIT_KEYS = ['epochs', 'from', 'learningRate', 'rho', 'lookahead', 'signal'];
const KEYS = [
  ...['include', 'exclude', 'trainable', 'frozen', 'granularity', 'seed', 'loss', 'lossOutput', 'inputShapes'],
  ...['optimizer', 'accumulate', 'averageDecay', 'threads'],
];
const defaultOptimizer: OptimizerOptions = { type: 'adamw', learningRate: 1e-3 };

interface Parts {
  model: ModelProto;
  trainable: Trainable;
  store: ParameterStore;
  buffers: ParameterStore;
  engine: EngineClient;
  options: Required<EngineOptions>;
}

/**
 * @example
 * const trainer = await Trainer.create('model.onnx', { optimizer: { type: 'adamw', learningRate: 1e-3 } });
 * for await (const { loss } of trainer.fit(batches, { epochs: 3 })) console.log(loss);
 * await trainer.save('trained.onnx');
 * await trainer.close();
 */
export class Trainer {
  readonly #parts: Parts;
  #steps = 0;
  #closed = false;
  /** Files under way; their bytes are the stores'. */
  #saving: Promise<unknown> = Promise.resolve();

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Reads a model, differentiates it and starts the training thread.
   *
   * @param model an ONNX file, or a model in memory, which stays as it is.
   * @throws SecateurError INVALID_OPTION, INVALID_MODEL, UNSUPPORTED with all operators that have no gradient, NO_RUNTIME.
   */
  static async create(model: string | ModelProto, options: TrainerOptions = {}): Promise<Trainer> {
    checkKeys('option', Object.keys(options), KEYS);
    const settings = engineSettings(options);
    return await Trainer.#open(await loadTrainable(model, options), settings);
  }

  /**
   * The same for what is loaded already, such as training artifacts (artifacts/trainer.ts).
   *
   * @throws SecateurError INVALID_OPTION, NO_RUNTIME, RUNTIME.
   */
  static async over(loaded: LoadedTrainable, options: EngineOptions = {}): Promise<Trainer> {
    return await Trainer.#open(loaded, engineSettings(options));
  }

  static async #open(loaded: LoadedTrainable, options: Required<EngineOptions>): Promise<Trainer> {
    try {
      const engine = await EngineClient.open(enginePlan(loaded, options));
      return new Trainer({ ...loaded, engine, options });
    } catch (error) {
      loaded.store.dispose();
      loaded.buffers.dispose();
      throw error;
    }
  }

  /** Parameters, gradients, momenta and ADMM state, in the order of `trainable.parameters`. */
  get store(): ParameterStore {
    return this.#parts.store;
  }

  /** Running statistics, which no optimizer touches. */
  get buffers(): ParameterStore {
    return this.#parts.buffers;
  }

  /** What `save` writes. Its parameters are views of the stores. */
  get model(): ModelProto {
    return this.#parts.model;
  }

  get trainable(): Trainable {
    return this.#parts.trainable;
  }

  get options(): Parts['options'] {
    return this.#parts.options;
  }

  /** Steps taken, which bias correction goes by. */
  get steps(): number {
    return this.#steps;
  }

  async setSteps(steps: number): Promise<void> {
    await this.#parts.engine.setSteps(steps);
    this.#steps = steps;
  }

  /**
   * Trains. Between two steps the parameters may be read and written, but with `lookahead`.
   *
   * @throws SecateurError INVALID_DATA, INVALID_OPTION, ABORTED; DIVERGED, with the step as `index`, where loss or
   *   gradients are not finite: the parameters are those before that step.
   */
  async *fit(source: BatchSource, options: FitOptions = {}): AsyncGenerator<Step, void, undefined> {
    checkKeys('option', Object.keys(options), FIT_KEYS);
    const underWay: Promise<Step>[] = [];
    const depth = options.lookahead ? 1 : 0;
    try {
      for await (const work of this.#plannedSteps(source, options)) {
        if (options.signal?.aborted) break;
        const step = this.#take(work);
        step.catch(() => undefined); // It is thrown where it is awaited.
        underWay.push(step);
        if (underWay.length > depth) yield await (underWay.shift() as Promise<Step>);
      }
      while (underWay.length > 0) yield await (underWay.shift() as Promise<Step>);
    } catch (error) {
      for (const step of await Promise.allSettled(underWay.splice(0)))
        if (step.status === 'fulfilled') yield step.value;
      // The thread refuses all steps since one failed; now it may take others.
      await this.#parts.engine.setSteps(this.#steps).catch(() => undefined);
      throw error;
    } finally {
      await Promise.allSettled(underWay);
    }
    if (options.signal?.aborted) throw aborted(options.signal);
  }

  /** The batches of every step, and its rates. */
  async *#plannedSteps(source: BatchSource, options: FitOptions): AsyncGenerator<PlannedStep> {
    const { epochs = 1, from = { epoch: 0, batch: 0 }, rho = 0 } = options;
    checkNumber('epochs', epochs, { least: 0, whole: true });
    const batches = batchesPerEpoch(source);
    const steps = this.stepsPerEpoch(source);
    const rate = this.#rate(options, epochs * steps);
    for (let epoch = from.epoch; epoch < epochs; epoch++) {
      const start = epoch === from.epoch ? from.batch : 0;
      for await (const group of this.#groups(source, epoch, start)) {
        const done = batches === undefined ? 0 : Math.floor((group[0]?.batch ?? 0) / this.#parts.options.accumulate);
        const learningRate = rate(epoch * steps + done);
        yield { group, epoch, batches, learningRate, rho };
      }
    }
  }

  /** Loss and, for classes, accuracy over one epoch of a source. */
  evaluate(
    source: BatchSource,
    { weights = 'current', onProgress, signal }: EvaluateOptions & { weights?: 'current' | 'average' } = {},
  ): Promise<Evaluation> {
    const { engine, trainable } = this.#parts;
    const batches = batchesPerEpoch(source);
    return evaluateBatches(
      source,
      trainable,
      ({ feeds, hand }, outputs) => engine.evaluate({ feeds, outputs, weights }, hand),
      (batch) => {
        if (signal?.aborted) throw aborted(signal);
        onProgress?.(batch + 1, batches);
      },
    );
  }

  /** The model with its parameters as they are, or as their moving average where one is kept. They are views. */
  modelWith(weights: 'current' | 'average'): ModelProto {
    const { model, trainable, store } = this.#parts;
    return weights === 'average' && store.has('average') ? withAverages(model, trainable, store) : model;
  }

  /** Weights that take part in pruning. */
  get prunableWeights(): number {
    const pruned = this.trainable.parameters.filter(({ prune }) => prune);
    return pruned.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  }

  /** Begins the moving average anew, at the parameters as they are. */
  restartAverage(): void {
    this.#copy('parameters', 'average');
  }

  /** Makes the moving average the parameters, where one is kept. */
  adoptAverage(): void {
    this.#copy('average', 'parameters');
  }

  #copy(from: 'parameters' | 'average', to: 'parameters' | 'average'): void {
    const { store } = this.#parts;
    if (!store.has('average')) return;
    const sources = store.views(from);
    for (const [index, view] of store.views(to).entries()) view.set(sources[index] ?? view);
  }

  /** Writes the model with its parameters as they are now, or as their moving average, atomically. */
  async save(path: string, { weights = 'current' }: { weights?: 'current' | 'average' } = {}): Promise<void> {
    if (this.#closed) throw new SecateurError('INVALID_OPTION', 'Expected an open trainer, got one that was closed');
    const saving = writeModel(path, this.modelWith(weights));
    this.#saving = Promise.allSettled([this.#saving, saving]);
    await saving;
  }

  /** Ends the training thread and lets go of the memory. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#saving;
    try {
      await this.#parts.engine.close();
    } finally {
      this.#parts.store.dispose();
      this.#parts.buffers.dispose();
    }
  }

  /** Steps of an epoch; 1 where the source does not say, so that schedules go by epochs. */
  stepsPerEpoch(source: BatchSource): number {
    return Math.ceil((batchesPerEpoch(source) ?? 1) / this.#parts.options.accumulate);
  }

  #rate({ learningRate }: FitOptions, steps: number): Schedule {
    const { optimizer } = this.#parts.options;
    if (learningRate !== undefined) return phaseSchedule(learningRate, steps);
    const own = phaseSchedule(optimizer.learningRate, steps);
    let step = this.#steps;
    return () => own(step++);
  }

  /** The batches of an epoch, as many together as make a step. */
  async *#groups(source: BatchSource, epoch: number, from: number): AsyncGenerator<SourceBatch[]> {
    let group: SourceBatch[] = [];
    for await (const batch of epochOf(source, this.#parts.trainable, epoch, from)) {
      if (batch.counted === 0) throw nothingCounts(batch);
      group.push(batch);
      if (group.length < this.#parts.options.accumulate) continue;
      yield group;
      group = [];
    }
    if (group.length > 0) yield group;
  }

  /** Hands a step's batches to the training thread, which takes them in order, and waits for what comes of it. */
  async #take({ group, epoch, batches, learningRate, rho }: PlannedStep): Promise<Step> {
    const { engine } = this.#parts;
    const requests = group.map(({ feeds, hand }, index) => {
      const [reset, apply] = [index === 0, index === group.length - 1];
      return engine.step({ feeds, learningRate, rho, gradientScale: 1 / group.length, reset, apply }, hand);
    });
    const results = await Promise.all(requests);
    const failed = results.find(({ applied }) => !applied);
    if (failed !== undefined) throw diverged(this.#steps, failed);
    this.#steps += 1;
    const samples = group.reduce((sum, batch) => sum + batch.samples, 0);
    const total = (pick: (result: StepResult) => number) => results.reduce((sum, result) => sum + pick(result), 0);
    return {
      step: this.#steps,
      epoch,
      batch: group.at(-1)?.batch ?? 0,
      batches,
      samples,
      loss: group.reduce((sum, batch, index) => sum + batch.samples * (results[index]?.loss ?? 0), 0) / samples,
      learningRate,
      gradientNorm: results.at(-1)?.gradientNorm ?? Number.NaN,
      totalMs: total(({ totalMs }) => totalMs),
      runtimeMs: total(({ runtimeMs }) => runtimeMs),
    };
  }
}

function engineSettings(options: EngineOptions): Required<EngineOptions> {
  const { optimizer = defaultOptimizer, accumulate = 1, averageDecay = 0, threads = 0 } = options;
  checkNumber('accumulate', accumulate, { least: 1, whole: true });
  checkNumber('averageDecay', averageDecay, { least: 0, below: 1 });
  checkNumber('threads', threads, { least: 0, most: 1024, whole: true });
  return { optimizer, accumulate, averageDecay, threads };
}

function nothingCounts({ batch }: SourceBatch): SecateurError {
  return new SecateurError(
    'INVALID_DATA',
    `Expected batch ${batch} to have a label that counts, got only ignored ones: a mean over none is no number`,
    { index: batch },
  );
}

function diverged(step: number, { loss }: StepResult): SecateurError {
  const what = Number.isFinite(loss) ? 'the gradients are not finite' : `the loss is ${loss}`;
  const advice = 'try a smaller learning rate, or maxGradientNorm; the parameters are those before this step';
  return new SecateurError('DIVERGED', `Expected a finite loss and gradients, but ${what} at step ${step}; ${advice}`, {
    index: step,
  });
}
