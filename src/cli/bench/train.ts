// Times training steps of the real trainer against PyTorch's of the same network, in alternating rounds. Data are random
// and lie in memory; batches are put together as in any training.
import { availableParallelism } from 'node:os';
import { type OptimizerRate, optimizerRate } from './optimizer-rate.js';
import { median } from './statistics.js';
import { openSubject, type Subject, type TrainModel } from './subject.js';
import { TorchTrainer } from './torch-trainer.js';

export interface TrainBenchmark {
  model: TrainModel;
  batch: number;
  /** Of detectors: the input's side in pixels. */
  size: number | undefined;
  /** 0: all cores. */
  threads: number;
  rounds: number;
  /** Steps a round. */
  steps: number;
  /** Weights that the optimizer is measured on. */
  elements: number;
  peers: boolean;
  signal: AbortSignal;
  leftOut: (sentence: string) => void;
  progress: (phase: string, done: number, total: number) => void;
}

/** The JSON contract of `bench train --json`. Times are medians, in milliseconds. */
export interface TrainResult {
  model: string;
  batch: number;
  /** Of detectors: the input's side in pixels; else null. */
  size: number | null;
  threads: number;
  /** From one step's end to the next's, as the caller of the trainer sees it. */
  stepMs: number;
  samplesPerSecond: number;
  /** Part of the steps' time that is not spent inside ONNX Runtime: data, messages, optimizer. */
  outsideRuntimeShare: number;
  peers: { torch?: { stepMs: number; version: string } };
  /** PyTorch's time over ours: above 1 we are faster. Null without PyTorch. */
  rateToTorch: number | null;
  optimizer: OptimizerRate;
}

interface Times {
  readonly own: number[];
  readonly runtime: number[];
  readonly torch: number[];
}

export async function benchmarkTrain(benchmark: TrainBenchmark): Promise<TrainResult> {
  const { model, batch, elements } = benchmark;
  const threads = benchmark.threads || availableParallelism();
  const subject = await openSubject({ ...benchmark, threads });
  try {
    const { times, version } = await withTorch(benchmark, subject);
    benchmark.progress('optimizer', 1, 1);
    const stepMs = median(times.own);
    const peer = version === undefined ? undefined : { stepMs: median(times.torch), version };
    return {
      model,
      batch,
      size: subject.peer.detection?.size ?? null,
      threads,
      stepMs,
      samplesPerSecond: (1000 * batch) / stepMs,
      outsideRuntimeShare: 1 - sum(times.runtime) / sum(times.own),
      peers: peer === undefined ? {} : { torch: peer },
      rateToTorch: peer === undefined ? null : peer.stepMs / stepMs,
      optimizer: await optimizerRate(elements, threads),
    };
  } finally {
    await subject.trainer.close();
  }
}

async function withTorch(benchmark: TrainBenchmark, subject: Subject): Promise<{ times: Times; version?: string }> {
  const torch = benchmark.peers ? await TorchTrainer.start(subject.peer, benchmark.signal) : undefined;
  if (benchmark.peers && torch === undefined) benchmark.leftOut('peer torch is left out: no python3 on PATH has torch');
  try {
    const times = await alternate(benchmark, subject, torch);
    return { times, ...(torch !== undefined && { version: torch.version }) };
  } finally {
    torch?.close();
  }
}

/** Rounds of ours and PyTorch's in turn. The first is to warm up and is not counted. */
async function alternate(
  { rounds, steps, signal, progress }: TrainBenchmark,
  subject: Subject,
  torch: TorchTrainer | undefined,
): Promise<Times> {
  const times: Times = { own: [], runtime: [], torch: [] };
  for (let round = 0; round <= rounds; round++) {
    signal.throwIfAborted();
    progress(round === 0 ? 'warming up' : 'rounds', round, rounds + 1);
    const own = await takeSteps(subject);
    const other = (await torch?.steps(steps)) ?? [];
    if (round === 0) continue;
    times.own.push(...own.total);
    times.runtime.push(...own.runtime);
    times.torch.push(...other);
  }
  return times;
}

/** One epoch; milliseconds of each step, and of it inside the runtime. */
async function takeSteps({ trainer, batches }: Subject): Promise<{ total: number[]; runtime: number[] }> {
  const [total, runtime]: [number[], number[]] = [[], []];
  let begin = performance.now();
  // As the methods train.
  for await (const { runtimeMs } of trainer.fit(batches, { epochs: 1, lookahead: true })) {
    const end = performance.now();
    total.push(end - begin);
    runtime.push(runtimeMs);
    begin = end;
  }
  return { total, runtime };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
