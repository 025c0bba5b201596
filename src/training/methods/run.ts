// Carries out phases on a trainer: epochs, projections, prunings, checkpoints, resuming. The order of the data follows
// from the epoch of the whole run, so a resumed run sees what an uninterrupted one would have seen.
import { existsSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { Batches } from '../../data/batches.js';
import { aborted, SecateurError } from '../../errors.js';
import { Mean } from '../../metrics/mean.js';
import type { ModelProto } from '../../onnx/schema/onnx_pb.js';
import { checkNumber } from '../../options.js';
import { type BatchSource, isEpochSource } from '../batch-source.js';
import type { ProjectionOptions } from '../parameter-store.js';
import { phaseSchedule } from '../phase-rate.js';
import { restoreState, saveState } from '../state.js';
import type { Step, Trainer } from '../trainer.js';
import { supportOverlap } from './overlap.js';
import { type AdmmPhase, epochsOf, type Phase, type PrunePhase, type Target } from './phases.js';
import { emptyRecord, type Metrics, type RunRecord } from './record.js';

/** Where a run stands: the phase, and the epoch and batch in it that come next. */
interface Cursor {
  phase: number;
  epoch: number;
  batch: number;
  /** What comes before the epoch, or the phase's pruning, is done. */
  prepared: boolean;
}

/** What a checkpoint holds beside the trainer's state. */
interface Note {
  plan: object;
  cursor: Cursor;
  record: RunRecord;
  means: [epoch: Mean['state'], iteration: Mean['state']];
}

const start = { epoch: 0, batch: 0, prepared: false } as const;

/** How far a run is. */
export interface RunProgress {
  readonly phase: string;
  /** Epochs of the run that are done, as a fraction too, and all of them. */
  readonly done: number;
  readonly epochs: number;
  readonly step: Step;
}

/** Measures the model between epochs, after each pruning, and at the beginning and the end. */
export interface Measurement {
  /** Epochs between two. @default 1 */
  every?: number | undefined;
  /** Gets the model with the parameters as they are, or their average; it must not keep it. */
  of: (model: ModelProto, signal: AbortSignal | undefined) => Promise<Metrics>;
}

export interface RunOptions {
  /** Data to measure accuracy with after each epoch. */
  validation?: BatchSource | undefined;
  /** What else to measure: for models whose worth is neither a loss nor an accuracy. */
  measurement?: Measurement | undefined;
  /** A file that the run's state is written to after each epoch, and when it is aborted. */
  checkpoint?: string | undefined;
  /** Steps between two checkpoints, besides those after each epoch. @default only those */
  checkpointEvery?: number | undefined;
  /** Go on from the checkpoint where it exists. @default false */
  resume?: boolean | undefined;
  /** Called after each step, while the next one is under way. */
  onProgress?: ((progress: RunProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Runs phases to their end. */
export async function runPhases(
  trainer: Trainer,
  source: BatchSource,
  phases: readonly Phase[],
  options: RunOptions = {},
): Promise<RunRecord> {
  return await new Run(trainer, source, phases, options).toEnd();
}

class Run {
  readonly #trainer: Trainer;
  readonly #source: BatchSource;
  readonly #phases: readonly Phase[];
  readonly #options: RunOptions;
  #cursor: Cursor = { phase: 0, ...start };
  #record = emptyRecord();
  /** The losses of the epoch, and of the epochs since the last projection. */
  #epochLoss = new Mean();
  #iterationLoss = new Mean();
  #since = performance.now();
  /** Steps of the trainer that the cursor knows of. */
  #steps = 0;

  constructor(trainer: Trainer, source: BatchSource, phases: readonly Phase[], options: RunOptions) {
    this.#trainer = trainer;
    this.#source = source;
    this.#phases = phases;
    this.#options = options;
  }

  async toEnd(): Promise<RunRecord> {
    checkOptions(this.#options);
    await this.#resume();
    this.#steps = this.#trainer.steps;
    try {
      for (let phase = this.#phases[this.#cursor.phase]; phase; phase = this.#phases[this.#cursor.phase]) {
        await this.#runPhase(phase);
        this.#cursor = { phase: this.#cursor.phase + 1, ...start };
        if (epochsOf(phase) === 0) await this.#checkpoint();
      }
    } catch (error) {
      // A step that nobody saw would be taken twice: then the checkpoint before is the one to go on from.
      if (this.#options.signal?.aborted && this.#trainer.steps === this.#steps) await this.#checkpoint();
      throw error;
    }
    this.#tick();
    return this.#record;
  }

  async #runPhase(phase: Phase): Promise<void> {
    if (phase.kind === 'release') this.#trainer.store.clearMask();
    if (phase.kind === 'prune' && !this.#cursor.prepared) await this.#prune(phase);
    const epochs = epochsOf(phase);
    while (this.#cursor.epoch < epochs) {
      if (!this.#cursor.prepared) await this.#beforeEpoch(phase, this.#cursor.epoch);
      this.#cursor.prepared = true;
      await this.#trainEpoch(phase, epochs);
    }
  }

  async #beforeEpoch(phase: Phase, epoch: number): Promise<void> {
    if (phase.kind === 'gradual') {
      const target = phase.targets[epoch];
      if (target !== undefined) await this.#trainer.store.setMaskByMagnitude(this.#threaded(target));
    }
    if (phase.kind === 'admm' && epoch % phase.epochsPerIteration === 0) await this.#iterate(phase, epoch);
  }

  async #iterate(phase: AdmmPhase, epoch: number): Promise<void> {
    const iteration = epoch / phase.epochsPerIteration;
    const planned = phase.iterations[iteration];
    if (planned === undefined) throw new SecateurError('INTERNAL', `Expected an iteration ${iteration} of ADMM`);
    const { rho, target } = planned;
    const result = await this.#trainer.store.project(this.#threaded(target));
    const loss = this.#iterationLoss.weight === 0 ? null : this.#iterationLoss.value;
    this.#iterationLoss = new Mean();
    this.#record.iterations.push({
      phase: phase.name,
      iteration,
      rho,
      ratio: target.ratio,
      loss,
      gap: result.gap,
      moved: result.moved,
      supportChanged: result.changed / result.weights,
      accuracy: this.#record.epochs.at(-1)?.accuracy ?? null,
    });
  }

  async #trainEpoch(phase: Phase, epochs: number): Promise<void> {
    const { epoch, batch } = this.#cursor;
    const offset = this.#epochsBefore();
    const perEpoch = this.#trainer.stepsPerEpoch(this.#source);
    const rate = phaseSchedule('learningRate' in phase ? phase.learningRate : 0, epochs * perEpoch);
    const steps = this.#trainer.fit(this.#source, {
      epochs: offset + epoch + 1,
      from: { epoch: offset + epoch, batch },
      learningRate: (step) => rate(step - offset * perEpoch),
      rho: phase.kind === 'admm' ? (phase.iterations[Math.floor(epoch / phase.epochsPerIteration)]?.rho ?? 0) : 0,
      // A checkpoint between two steps needs the thread at rest.
      lookahead: this.#options.checkpointEvery === undefined,
      signal: this.#options.signal,
    });
    for await (const step of steps) await this.#afterStep(phase, step);
    await this.#afterEpoch(phase, offset + epoch);
  }

  async #afterStep(phase: Phase, step: Step): Promise<void> {
    this.#cursor.batch = step.batch + 1;
    this.#steps = step.step;
    this.#epochLoss.add(step.loss, step.samples);
    this.#iterationLoss.add(step.loss, step.samples);
    const part = step.batches === undefined ? 0 : this.#cursor.batch / step.batches;
    const epochs = this.#phases.reduce((sum, each) => sum + epochsOf(each), 0);
    this.#options.onProgress?.({ phase: phase.name, done: step.epoch + part, epochs, step });
    const every = this.#options.checkpointEvery;
    if (every !== undefined && step.step % every === 0 && part < 1) await this.#checkpoint();
  }

  async #afterEpoch(phase: Phase, epoch: number): Promise<void> {
    const { store } = this.#trainer;
    if (store.has('mask') && store.revivedWeights() > 0) {
      throw new SecateurError(
        'INTERNAL',
        `Expected removed weights to stay zero, but ${store.revivedWeights()} came back`,
      );
    }
    const accuracy = await this.#accuracy(this.#options.signal);
    const due = (epoch + 1) % (this.#options.measurement?.every ?? 1) === 0;
    const measured = due ? await this.#measured(this.#options.signal) : {};
    this.#record.epochs.push({ phase: phase.name, epoch, loss: this.#epochLoss.value, accuracy, ...measured });
    this.#epochLoss = new Mean();
    this.#cursor = { ...this.#cursor, ...start, epoch: this.#cursor.epoch + 1 };
    await this.#checkpoint();
  }

  async #prune({ by, target, name }: PrunePhase): Promise<void> {
    const { store } = this.#trainer;
    let overlap: number | null = null;
    if (by === 'support') {
      await store.project(this.#threaded(target));
      overlap = await supportOverlap(store, this.#trainer.trainable, target);
    }
    const { kept } =
      by === 'support' ? store.setMask('support') : await store.setMaskByMagnitude(this.#threaded(target));
    store.admmState = undefined;
    this.#trainer.restartAverage();
    const prunable = store.prunable();
    const left = kept.reduce((sum, count, index) => sum + (prunable[index] ? count : 0), 0);
    const weights = this.#trainer.prunableWeights;
    // Not aborted here: the pruning and its record belong together.
    const accuracy = await this.#accuracy(undefined);
    const measured = await this.#measured(undefined);
    this.#cursor.prepared = true;
    this.#record.prunings.push({
      phase: name,
      ratio: target.ratio,
      removed: weights - left,
      weights,
      overlap,
      accuracy,
      ...measured,
    });
  }

  async #accuracy(signal: AbortSignal | undefined): Promise<number | null> {
    const { validation } = this.#options;
    if (validation === undefined) return null;
    return (await this.#trainer.evaluate(validation, { weights: 'average', signal })).accuracy;
  }

  async #measured(signal: AbortSignal | undefined): Promise<{ metrics?: Metrics }> {
    const { measurement } = this.#options;
    return measurement === undefined
      ? {}
      : { metrics: await measurement.of(this.#trainer.modelWith('average'), signal) };
  }

  #threaded(target: Target): ProjectionOptions {
    return { ...target, threads: this.#trainer.options.threads };
  }

  /** Epochs of the phases before this one. */
  #epochsBefore(): number {
    return this.#phases.slice(0, this.#cursor.phase).reduce((sum, phase) => sum + epochsOf(phase), 0);
  }

  #tick(): void {
    const now = performance.now();
    this.#record.seconds += (now - this.#since) / 1000;
    this.#since = now;
  }

  async #checkpoint(): Promise<void> {
    const { checkpoint } = this.#options;
    if (checkpoint === undefined) return;
    this.#tick();
    const means: Note['means'] = [this.#epochLoss.state, this.#iterationLoss.state];
    const note: Note = { plan: this.#plan(), cursor: this.#cursor, record: this.#record, means };
    await saveState(checkpoint, this.#trainer, note);
  }

  async #resume(): Promise<void> {
    const { checkpoint, resume, signal } = this.#options;
    if (signal?.aborted) throw aborted(signal);
    if (!resume || checkpoint === undefined || !existsSync(checkpoint)) return;
    const note = await restoreState(checkpoint, this.#trainer, (found) => {
      const { plan, cursor, record, means } = (found ?? {}) as Partial<Note>;
      if (!cursor || !record || means?.length !== 2) throw otherPlan(checkpoint);
      if (JSON.stringify(plan) !== JSON.stringify(this.#plan())) throw otherPlan(checkpoint);
      return found as Note;
    });
    this.#cursor = note.cursor;
    this.#record = note.record;
    [this.#epochLoss.state, this.#iterationLoss.state] = note.means;
  }

  /** What a run must have in common with the one that it continues. */
  #plan(): object {
    const { optimizer, accumulate, averageDecay } = this.#trainer.options;
    const { learningRate: _, ...fixed } = optimizer;
    return { phases: this.#phases, ...planOf(this.#source), optimizer: fixed, accumulate, averageDecay };
  }
}

function planOf(source: BatchSource): object {
  if (isEpochSource(source)) return { perEpoch: source.perEpoch, ...source.plan };
  const { seed, batchSize, perEpoch } = source instanceof Batches ? source : {};
  return { seed, batchSize, perEpoch };
}

function checkOptions({ checkpointEvery, measurement }: RunOptions): void {
  if (measurement?.every !== undefined) checkNumber('every', measurement.every, { least: 1, whole: true });
  if (checkpointEvery !== undefined) checkNumber('checkpointEvery', checkpointEvery, { least: 1, whole: true });
}

function otherPlan(path: string): SecateurError {
  return new SecateurError(
    'INVALID_OPTION',
    `Expected ${path} to be a checkpoint of a run with the same options and data, but they differ; ` +
      'resume with the options that it was made with, or remove it to begin anew',
    { path },
  );
}

/** The keys of RunOptions. */
export const runKeys = [
  ...['validation', 'measurement', 'checkpoint', 'checkpointEvery', 'resume', 'onProgress', 'signal'],
] as const;
