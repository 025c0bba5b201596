// Times the selection against its floor, a plain parallel read of the same memory, and against other libraries. The
// addon measures itself (medians of interleaved runs); this file asks, divides and adds the peers.
import { callNative } from '../../native/addon.js';
import type { Backend, Distribution, DType, SelectBenchOptions, SelectBenchResult } from '../../native/contract.js';
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
  repeats: number;
  seed: number;
  /** Zero leaves the peers out. */
  peerTimeoutMs: number;
  signal: AbortSignal;
  leftOut: (name: string, reason: string) => void;
  progress: (phase: string, done: number, total: number) => void;
}

/** One line of results; the JSON contract of `bench select --json`. */
export interface SelectResult {
  elements: number;
  dtype: DType;
  distribution: Distribution;
  ratios: number[];
  threads: number;
  backend: Backend;
  /**
   * Medians. `floor`: one parallel read of the memory. `floorReadWrite`: one read and write. `select`: the exact
   * thresholds of all ratios. `selectAndMask`: that, and the first ratio's mask applied in place. `selectOne`: the first
   * ratio alone, where several were asked for.
   */
  seconds: { floor: number; floorReadWrite: number; select: number; selectAndMask: number; selectOne?: number };
  selectToFloor: number;
  /** selectAndMask / (floor + floorReadWrite). */
  selectAndMaskToFloor: number;
  /** select / selectOne: what further ratios cost; only where several were asked for. */
  sweepToOne?: number;
  /** Seconds by name; std::nth_element is always there. */
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
  const run = await ask({ ...work, ratios });
  const { floor, floorReadWrite, select, selectAndMask, nthElement } = run.seconds;
  const selectOne = ratios.length > 1 ? (await ask({ ...work, ratios: ratios.slice(0, 1) })).seconds.select : undefined;
  const peerWork = { ...work, threads: run.threads, ratio: ratios[0] ?? 0 };
  const peers = await peersOf(benchmark, peerWork, (name) => step(`, ${name}`));
  return {
    elements,
    dtype,
    distribution,
    ratios,
    threads: run.threads,
    backend: run.backend,
    seconds: { floor, floorReadWrite, select, selectAndMask, ...(selectOne === undefined ? {} : { selectOne }) },
    selectToFloor: select / floor,
    selectAndMaskToFloor: selectAndMask / (floor + floorReadWrite),
    ...(selectOne === undefined ? {} : { sweepToOne: select / selectOne }),
    peers: { 'std::nth_element': nthElement, ...byName(peers, ({ seconds }) => seconds) },
    peerVersions: byName(peers, ({ version }) => version),
  };
}

/** The addon's errors come as ours. */
function ask(options: SelectBenchOptions): Promise<SelectBenchResult> {
  return callNative((native) => native.benchSelect(options));
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
