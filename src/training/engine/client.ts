// An engine in a worker thread, seen from the main thread: the same calls, answered by messages.
import { Worker } from 'node:worker_threads';
import { SecateurError, type SecateurErrorCode, type SecateurErrorFields } from '../../errors.js';
import locate from './locate.cjs';
import type {
  EngineCalls,
  EngineFeeds,
  EnginePlan,
  EvaluationRequest,
  EvaluationResult,
  StepRequest,
  StepResult,
} from './plan.js';
import type { WorkerReply, WorkerRequest } from './worker.js';

interface Waiting {
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
}

export class EngineClient implements EngineCalls {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;
  #ended: unknown;

  private constructor(plan: EnginePlan) {
    this.#worker = new Worker(locate.workerFile(), { workerData: plan });
    this.#worker.on('message', (reply: WorkerReply) => this.#settle(reply));
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', () => this.#end(new SecateurError('ABORTED', 'The training thread has ended')));
    // Waiting for answers keeps the process alive; a trainer that nobody uses does not.
    this.#worker.unref();
  }

  /** @throws SecateurError NO_RUNTIME, RUNTIME where the graphs do not load. */
  static async open(plan: EnginePlan): Promise<EngineClient> {
    const client = new EngineClient(plan);
    try {
      await client.#wait<void>(0);
      return client;
    } catch (error) {
      await client.#worker.terminate();
      throw error;
    }
  }

  /** @param hand `over`: the feeds' memory moves to the other thread and is empty here afterwards. */
  step(request: StepRequest, hand: 'over' | 'copy' = 'copy'): Promise<StepResult> {
    return this.#feed('step', request, hand);
  }

  evaluate(request: EvaluationRequest, hand: 'over' | 'copy' = 'copy'): Promise<EvaluationResult> {
    return this.#feed('evaluate', request, hand);
  }

  steps(): Promise<number> {
    return this.#call('steps', undefined);
  }

  setSteps(steps: number): Promise<void> {
    return this.#call('setSteps', steps);
  }

  async close(): Promise<void> {
    try {
      if (this.#ended === undefined) await this.#call<void>('close', undefined);
    } finally {
      await this.#worker.terminate();
    }
  }

  #feed<T>(call: keyof EngineCalls, request: StepRequest | EvaluationRequest, hand: 'over' | 'copy'): Promise<T> {
    const feeds = compact(request.feeds);
    return this.#call(call, { ...request, feeds }, hand === 'over' ? memoryOf(feeds) : []);
  }

  #call<T>(call: keyof EngineCalls, argument: unknown, memory: ArrayBuffer[] = []): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#last += 1;
    this.#worker.postMessage({ id: this.#last, call, argument } satisfies WorkerRequest, memory);
    return this.#wait<T>(this.#last);
  }

  #wait<T>(id: number): Promise<T> {
    this.#worker.ref();
    return new Promise<T>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #settle(reply: WorkerReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if ('failure' in reply) waiting?.reject(toError(reply.failure));
    else waiting?.resolve(reply.value as never);
  }

  #end(error: unknown): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}

function toError({ code, message, fields, stack }: Extract<WorkerReply, { failure: object }>['failure']): Error {
  const cause = Object.assign(new Error(message), { stack });
  if (code === undefined) return new Error(message, { cause });
  return new SecateurError(code as SecateurErrorCode, message, { ...(fields as SecateurErrorFields), cause });
}

/** A view of a larger buffer would take all of it along. */
function compact(feeds: EngineFeeds): EngineFeeds {
  const entries = Object.entries(feeds).map(([name, { data, dims }]) => {
    const whole = data.byteLength === data.buffer.byteLength;
    return [name, { data: whole ? data : data.slice(), dims }] as const;
  });
  return Object.fromEntries(entries);
}

/** Buffers that belong to one tensor whole; others are copied. */
function memoryOf(feeds: EngineFeeds): ArrayBuffer[] {
  const views = Object.values(feeds).map(({ data }) => data);
  const whole = views.filter(
    ({ buffer, byteLength }) => buffer instanceof ArrayBuffer && buffer.byteLength === byteLength,
  );
  return [...new Set(whole.map(({ buffer }) => buffer as ArrayBuffer))];
}
