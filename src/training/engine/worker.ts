// The program of the training thread: opens an engine on the plan it was started with, then answers one request after
// the other. Failures travel as their code, message and fields, since a SecateurError does not survive the journey.
import { parentPort, workerData } from 'node:worker_threads';
import { isSecateurError } from '../../errors.js';
import { Engine } from './engine.js';
import type { EngineCalls, EnginePlan, EvaluationResult } from './plan.js';

/** Asks for a call by its number. */
export interface WorkerRequest {
  readonly id: number;
  readonly call: keyof EngineCalls;
  readonly argument: unknown;
}

/** The answer to the call of that number; number 0 tells whether the engine was opened. */
export type WorkerReply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly failure: { code?: string; message: string; fields?: object; stack?: string } };

function failureOf(error: unknown) {
  const known = isSecateurError(error) ? { code: error.code, fields: { ...error.fields } } : {};
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { ...known, message, ...(stack !== undefined && { stack }) };
}

/** Results of evaluations are handed over, not copied. */
function transferable(value: unknown): ArrayBuffer[] {
  const outputs = (value as Partial<EvaluationResult> | undefined)?.outputs ?? {};
  return Object.values(outputs).map(({ data }) => data.buffer as ArrayBuffer);
}

async function answer(work: () => Promise<unknown>, id: number): Promise<void> {
  try {
    const value = await work();
    parentPort?.postMessage({ id, value } satisfies WorkerReply, transferable(value));
  } catch (error) {
    parentPort?.postMessage({ id, failure: failureOf(error) } satisfies WorkerReply);
  }
}

const opened = Engine.open(workerData as EnginePlan);
let queue = answer(() => opened.then(() => undefined), 0);

parentPort?.on('message', ({ id, call, argument }: WorkerRequest) => {
  queue = queue.then(() =>
    answer(async () => {
      const engine = await opened;
      return await (engine[call] as (argument: unknown) => Promise<unknown>).call(engine, argument);
    }, id),
  );
});
