// Times training steps of the real trainer against PyTorch's of the same network, in alternating rounds. Data are random
// and lie in memory; batches are put together as in any training.
import { availableParallelism } from 'node:os';
import { newModel } from '../../../models/index.js';
import { Batches } from '../../data/batches.js';
import type { Dataset, Labels } from '../../data/dataset.js';
import { addon } from '../../native/addon.js';
import { Trainer } from '../../training/trainer.js';
import { type OptimizerRate, optimizerRate } from './optimizer-rate.js';
import { median } from './statistics.js';
import { TorchTrainer } from './torch-trainer.js';

/** LeNet-5, and residual networks by their depth; 56 is the paper's, the others are shorter stacks of the same blocks. */
export const TRAIN_MODELS = ['lenet5', 'resnet8', 'resnet14', 'resnet20', 'resnet32', 'resnet44', 'resnet56'] as const;

export interface TrainBenchmark {
  model: (typeof TRAIN_MODELS)[number];
  batch: number;
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
  const { model, batch, signal } = benchmark;
  const threads = benchmark.threads || availableParallelism();
  const torch = benchmark.peers ? await TorchTrainer.start({ model, batch, threads }, signal) : undefined;
  if (benchmark.peers && torch === undefined) benchmark.leftOut('peer torch is left out: no python3 on PATH has torch');
  try {
    const times = await alternate(benchmark, threads, torch);
    benchmark.progress('optimizer', 1, 1);
    const stepMs = median(times.own);
    const peer = torch === undefined ? undefined : { stepMs: median(times.torch), version: torch.version };
    return {
      model,
      batch,
      threads,
      stepMs,
      samplesPerSecond: (1000 * batch) / stepMs,
      outsideRuntimeShare: 1 - sum(times.runtime) / sum(times.own),
      peers: peer === undefined ? {} : { torch: peer },
      rateToTorch: peer === undefined ? null : peer.stepMs / stepMs,
      optimizer: await optimizerRate(benchmark.elements, threads),
    };
  } finally {
    torch?.close();
  }
}

/** Rounds of ours and PyTorch's in turn. The first is to warm up and is not counted. */
async function alternate(benchmark: TrainBenchmark, threads: number, torch: TorchTrainer | undefined): Promise<Times> {
  const { rounds, steps, signal } = benchmark;
  const times: Times = { own: [], runtime: [], torch: [] };
  const trainer = await openTrainer(benchmark, threads);
  const batches = new Batches(randomDataset(benchmark.model, benchmark.batch * steps), { batchSize: benchmark.batch });
  try {
    for (let round = 0; round <= rounds; round++) {
      signal.throwIfAborted();
      benchmark.progress(round === 0 ? 'warming up' : 'rounds', round, rounds + 1);
      const own = await takeSteps(trainer, batches);
      const other = (await torch?.steps(steps)) ?? [];
      if (round === 0) continue;
      times.own.push(...own.total);
      times.runtime.push(...own.runtime);
      times.torch.push(...other);
    }
  } finally {
    await trainer.close();
  }
  return times;
}

async function openTrainer({ model: name }: TrainBenchmark, threads: number): Promise<Trainer> {
  const { fillNormal } = addon();
  const depth = Number(name.slice('resnet'.length));
  const model = name === 'lenet5' ? newModel(name, {}, fillNormal) : newModel('resnet56', { depth }, fillNormal);
  return await Trainer.create(model, { optimizer: { type: 'sgd', learningRate: 0.01, momentum: 0.9 }, threads });
}

/** One epoch; milliseconds of each step, and of it inside the runtime. */
async function takeSteps(trainer: Trainer, batches: Batches): Promise<{ total: number[]; runtime: number[] }> {
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

/** Pixels in [0, 1) and ten classes in turn. */
function randomDataset(model: string, length: number): Dataset {
  const inputShape = model === 'lenet5' ? [1, 28, 28] : [3, 32, 32];
  const size = inputShape.reduce((product, side) => product * side, 1);
  const pixels = Float32Array.from({ length: length * size }, () => Math.random());
  return {
    name: 'random pixels',
    length,
    inputShape,
    labelType: 'int64',
    labelShape: [],
    classes: 10,
    normalization: 'none',
    read(indices: Uint32Array, inputs: Float32Array, labels: Labels): void {
      for (const [place, index] of indices.entries()) {
        inputs.set(pixels.subarray(index * size, (index + 1) * size), place * size);
        (labels as BigInt64Array)[place] = BigInt(index % 10);
      }
    },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
