// Times the selection against its floor, a plain read of the same memory, here or on a GPU, and against other libraries.
// The addon measures itself (medians of interleaved runs); this file asks, divides and adds the peers.
import { availableParallelism } from 'node:os';
import { callNative } from '../../native/addon.js';
import type { Backend, Distribution, DType, SelectBenchOptions } from '../../native/contract.js';
import type { NativeDeviceFacts } from '../../native/device-contract.js';
import { type PeerTime, type PeerWork, timePeers } from './peers.js';

export const DTYPES: readonly DType[] = ['float32', 'float16', 'bfloat16', 'float64'];
export const DISTRIBUTIONS: readonly Distribution[] = ['normal', 'uniform', 'constant', 'zeros90', 'heavy', 'few'];
export const BYTES_PER_ELEMENT: Readonly<Record<DType, number>> = { float16: 2, bfloat16: 2, float32: 4, float64: 8 };

export interface SelectBenchmark {
  elements: number;
  dtypes: readonly DType[];
  distributions: readonly Distribution[];
  /** At least one; all are answered by one call. The peers answer the first. */
  ratios: readonly number[];
  /** 0: all cores. */
  threads: number;
  /** Measures there instead of on the CPU. */
  gpu: ({ library: string } & NativeDeviceFacts) | undefined;
  repeats: number;
  seed: number;
  /** Zero leaves the peers out. */
  peerTimeoutMs: number;
  signal: AbortSignal;
  leftOut: (name: string, reason: string) => void;
  progress: (phase: string, done: number, total: number) => void;
}

interface Floors {
  floor: number;
  floorReadWrite: number;
  select: number;
  mask?: number;
  selectAndMask: number;
}

/** One line of results; the JSON contract of `bench select --json`. */
export interface SelectResult {
  elements: number;
  dtype: DType;
  distribution: Distribution;
  ratios: number[];
  /** Of the host; with a GPU they only make the weights. */
  threads: number;
  backend: Backend | 'cuda';
  /** The GPU's name; only with one. */
  gpu?: string;
  /**
   * Medians. `floor`: one parallel read of the memory. `floorReadWrite`: one read and write; on a GPU a copy. `select`:
   * the exact thresholds of all ratios. `selectAndMask`: that, and the first ratio's mask applied in place. `mask`: that
   * mask alone, on a GPU. `selectOne`: the first ratio alone, where several were asked for.
   */
  seconds: Floors & { selectOne?: number };
  selectToFloor: number;
  /** selectAndMask / (floor + floorReadWrite). */
  selectAndMaskToFloor: number;
  /** mask / floorReadWrite; only on a GPU. */
  maskToFloor?: number;
  /** select / selectOne: what further ratios cost; only where several were asked for. */
  sweepToOne?: number;
  /** Seconds by name; std::nth_element is always there on the CPU. */
  peers: Record<string, number>;
  /** The versions of the libraries, by the same names. */
  peerVersions: Record<string, string>;
}

/** Runs every dtype with every distribution. */
export async function benchmarkSelect(benchmark: SelectBenchmark): Promise<SelectResult[]> {
  const { dtypes, distributions, signal } = benchmark;
  const results: SelectResult[] = [];
  for (const dtype of dtypes) {
    for (const distribution of distributions) {
      signal.throwIfAborted();
      const step = (what: string): void =>
        benchmark.progress(`${dtype} ${distribution}${what}`, results.length, dtypes.length * distributions.length);
      step('');
      results.push(await measure(benchmark, { dtype, distribution, step }));
    }
  }
  return results;
}

interface Case {
  dtype: DType;
  distribution: Distribution;
  step: (what: string) => void;
}

async function measure(benchmark: SelectBenchmark, { dtype, distribution, step }: Case): Promise<SelectResult> {
  const { elements, threads, repeats, seed } = benchmark;
  const ratios = [...benchmark.ratios];
  const work = { elements, dtype, distribution, threads, repeats, seed };
  const { gpu } = benchmark;
  const { seconds, ...run } = await ask({ ...work, ratios }, gpu);
  const one = ratios.length > 1 ? await ask({ ...work, ratios: ratios.slice(0, 1) }, gpu) : undefined;
  const device = gpu === undefined ? ('cpu' as const) : ('cuda' as const);
  const peerWork = { ...work, device, threads: run.threads, ratio: ratios[0] ?? 0 };
  const peers = await peersOf(benchmark, peerWork, (name) => step(`, ${name}`));
  const { floor, floorReadWrite, select, mask, selectAndMask } = seconds;
  return {
    elements,
    dtype,
    distribution,
    ratios,
    threads: run.threads,
    backend: run.backend,
    ...(gpu === undefined ? {} : { gpu: gpu.name }),
    seconds: { ...seconds, ...(one === undefined ? {} : { selectOne: one.seconds.select }) },
    selectToFloor: select / floor,
    selectAndMaskToFloor: selectAndMask / (floor + floorReadWrite),
    ...(mask === undefined ? {} : { maskToFloor: mask / floorReadWrite }),
    ...(one === undefined ? {} : { sweepToOne: select / one.seconds.select }),
    peers: { ...run.peers, ...byName(peers, ({ seconds: each }) => each) },
    peerVersions: byName(peers, ({ version }) => version),
  };
}

interface Asked {
  seconds: Floors;
  backend: SelectResult['backend'];
  threads: number;
  /** What the addon has measured beside itself. */
  peers: Record<string, number>;
}

/** The addon's errors come as ours. */
async function ask(options: SelectBenchOptions, gpu: SelectBenchmark['gpu']): Promise<Asked> {
  if (gpu !== undefined) {
    const seconds = await callNative((native) => native.benchSelectThere(gpu.library, options));
    return { seconds, backend: 'cuda', threads: options.threads || availableParallelism(), peers: {} };
  }
  const { seconds, backend, threads } = await callNative((native) => native.benchSelect(options));
  const { nthElement, ...own } = seconds;
  return { seconds: own, backend, threads, peers: { 'std::nth_element': nthElement } };
}

async function peersOf(
  { peerTimeoutMs, signal, leftOut }: SelectBenchmark,
  work: PeerWork,
  started: (name: string) => void,
): Promise<PeerTime[]> {
  return peerTimeoutMs === 0 ? [] : await timePeers({ work, timeoutMs: peerTimeoutMs, signal, started, leftOut });
}

function byName<T>(peers: readonly PeerTime[], pick: (peer: PeerTime) => T): Record<string, T> {
  return Object.fromEntries(peers.map((peer) => [peer.name, pick(peer)]));
}
