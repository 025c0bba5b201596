// The two sessions and the optimizer on one store: a step, an evaluation. Runs on the thread that made it and blocks it;
// worker.ts gives it a thread of its own.
import { performance } from 'node:perf_hooks';
import { callNativeSync } from '../../native/addon.js';
import { type RuntimeTensor, Session } from '../../runtime/session.js';
import { readEvaluation } from '../evaluation.js';
import { Optimizer } from '../optimizer.js';
import { ParameterStore } from '../parameter-store.js';
import type {
  EngineCalls,
  EngineFeeds,
  EnginePlan,
  EvaluationRequest,
  EvaluationResult,
  StepRequest,
  StepResult,
} from './plan.js';

type Tensors = Record<string, RuntimeTensor>;

export class Engine implements EngineCalls {
  readonly #plan: EnginePlan;
  readonly #store: ParameterStore;
  readonly #buffers: ParameterStore;
  readonly #training: Session;
  /** Made when first wanted: its activations cost memory. */
  #evaluation: Session | undefined;
  readonly #optimizer: Optimizer;
  /** Inputs that are the same memory in every step, and outputs likewise. */
  readonly #held: Tensors;
  readonly #fetches: Tensors;
  readonly #loss = new Float32Array(1);
  readonly #reset = new Uint8Array(1);
  /** A step failed: those that were asked for before that was known are refused, until `setSteps`. */
  #failed = false;
  readonly #statistics: readonly Float32Array[];
  /** Next values of the buffers; copied over the old ones after a step that counts. */
  readonly #next: readonly Float32Array[];

  private constructor(plan: EnginePlan, training: Session) {
    this.#plan = plan;
    this.#training = training;
    this.#store = ParameterStore.open(plan.store);
    this.#buffers = ParameterStore.open(plan.buffersStore);
    this.#statistics = this.#buffers.views('parameters');
    this.#optimizer = new Optimizer(this.#store, plan.optimizer);
    this.#held = { ...this.#parameters('parameters'), ...this.#accumulation() };
    this.#next = this.#statistics.map(({ length }) => new Float32Array(length));
    this.#fetches = this.#outputs();
  }

  static async open(plan: EnginePlan): Promise<Engine> {
    const memory = memoryOf(plan);
    const session = await Session.open(plan.training, { threads: plan.threads, memory });
    // What opening has left; and from now on pieces between two steps.
    if (memory === 'returned') callNativeSync((addon) => addon.returnFreedMemory());
    return new Engine(plan, session);
  }

  /** Gradients of a batch, and a step of the optimizer where the request says so. */
  async step(request: StepRequest): Promise<StepResult> {
    if (this.#failed) return { loss: Number.NaN, gradientNorm: Number.NaN, applied: false, totalMs: 0, runtimeMs: 0 };
    this.#failed = true; // until the step is through: what throws fails too
    const begin = performance.now();
    this.#reset[0] = Number(request.reset);
    await this.#training.write({ ...this.#tensors(this.#training, request.feeds), ...this.#held }, this.#fetches);
    const runtimeMs = performance.now() - begin;
    const loss = this.#loss[0] ?? Number.NaN;
    const taken = Number.isFinite(loss) && request.apply ? this.#optimize(request) : undefined;
    const applied = Number.isFinite(loss) && (taken?.applied ?? true);
    if (applied) this.#advanceBuffers();
    this.#failed = !applied;
    const gradientNorm = taken?.gradientNorm ?? Number.NaN;
    return { loss, gradientNorm, applied, totalMs: performance.now() - begin, runtimeMs };
  }

  async evaluate({ feeds, outputs, weights }: EvaluationRequest): Promise<EvaluationResult> {
    const { evaluation, threads, loss } = this.#plan;
    this.#evaluation ??= await Session.open(evaluation, { threads });
    const session = this.#evaluation;
    const slot = weights === 'average' && this.#store.has('average') ? 'average' : 'parameters';
    const wanted = Object.fromEntries([loss, ...outputs].map((name) => [name, null]));
    const run = await session.run({ ...this.#tensors(session, feeds), ...this.#parameters(slot) }, wanted);
    return readEvaluation(run, loss, outputs);
  }

  steps(): Promise<number> {
    return Promise.resolve(this.#optimizer.steps);
  }

  setSteps(steps: number): Promise<void> {
    this.#optimizer.steps = steps;
    this.#failed = false;
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.#training.close();
    await this.#evaluation?.close();
    this.#store.dispose();
    this.#buffers.dispose();
  }

  #optimize({ learningRate, rho, gradientScale }: StepRequest) {
    // The norm tells gradients that are not finite, before they reach the weights.
    const result = this.#optimizer.step({ learningRate, rho, gradientScale, measureNorm: true });
    const { averageDecay, threads } = this.#plan;
    if (result.applied && averageDecay > 0) this.#store.updateAverage(averageDecay, threads);
    return result;
  }

  #advanceBuffers(): void {
    for (const [index, view] of this.#statistics.entries()) {
      const next = this.#next[index];
      if (next !== undefined && this.#plan.buffers[index]?.next !== undefined) view.set(next);
    }
  }

  #parameters(slot: 'parameters' | 'average'): Tensors {
    return {
      ...this.#named(this.#store.views(slot), this.#plan.parameters),
      ...this.#named(this.#statistics, this.#plan.buffers),
    };
  }

  #named(views: readonly Float32Array[], list: readonly { name: string; shape: readonly number[] }[]): Tensors {
    const tensors = list.map(({ name, shape }, index) => {
      return [name, this.#training.tensor(views[index] ?? new Float32Array(0), shape)] as const;
    });
    return Object.fromEntries(tensors);
  }

  #accumulation(): Tensors {
    const { accumulation, parameters } = this.#plan;
    if (accumulation === undefined) return {};
    const buffers = parameters.map(({ shape }, index) => ({ name: accumulation.buffers[index] ?? '', shape }));
    return {
      ...this.#named(this.#store.views('gradients'), buffers),
      [accumulation.reset]: this.#training.tensor(this.#reset, [1], 'bool'),
    };
  }

  #outputs(): Tensors {
    const { parameters, buffers, loss } = this.#plan;
    const gradients = parameters.map(({ gradient, shape }) => ({ name: gradient, shape }));
    const changing = buffers.flatMap(({ next, shape }, index) => {
      const memory = this.#next[index];
      return next === undefined || memory === undefined ? [] : [[next, this.#training.tensor(memory, shape)] as const];
    });
    return {
      [loss]: this.#training.tensor(this.#loss, []),
      ...this.#named(this.#store.views('gradients'), gradients),
      ...Object.fromEntries(changing),
    };
  }

  #tensors(session: Session, feeds: EngineFeeds): Tensors {
    return Object.fromEntries(
      Object.entries(feeds).map(([name, { data, dims }]) => [name, session.tensor(data, dims)] as const),
    );
  }
}

/**
 * Small models are run as fast as can be, large ones in little memory. YOLOv4-tiny (6 M weights, 256 x 256, batch 8) takes
 * 1.03 s a step planned and not, at a peak of 994 and 612 MiB; YOLOv4 (64 M, 64 x 64, batch 2) 1.45 s planned, 1.4 s
 * reused and returned (1 thread, AVX-512).
 */
function memoryOf({ parameters }: EnginePlan): 'planned' | 'reused' | 'returned' {
  const weights = parameters.reduce((sum, { shape }) => sum + shape.reduce((size, length) => size * length, 1), 0);
  if (weights < 2 ** 21) return 'planned';
  return weights < 2 ** 24 ? 'reused' : 'returned';
}
