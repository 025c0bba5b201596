// Two models in onnxruntime-node on the same random input: do the outputs agree, and which is faster. Both are timed in
// one run, turn by turn, so that a busy machine slows both.
import { aborted, SecateurError } from '../errors.js';
import { hasRuntime, type RuntimeTensor, type RuntimeType, type RuntimeValue, Session } from '../runtime/session.js';
import { differenceOf } from './difference.js';

/** Seconds a run, medians. */
export interface Latency {
  before: number;
  after: number;
  /** Runs of each model. */
  runs: number;
}

export interface Comparison {
  /** Images a run, where the model leaves that open. */
  batch: number;
  /**
   * The largest absolute difference of an output of floats. Null where the model has none that is finite, or could not
   * be run on random input.
   */
  difference: number | null;
  /** The largest absolute value of an output of floats; null where `difference` is. */
  largest: number | null;
  /** Null where it was not asked for or could not be measured. */
  latency: Latency | null;
  /** Why the outputs could not be compared: the first model does not run on random input, or is random itself. */
  problem?: string;
}

export interface CompareOptions {
  measure: boolean;
  batch: number;
  /** Of the runtime; 0 means all cores. */
  threads: number;
  /** How far outputs may differ, in parts of the largest number of each. */
  tolerance: number;
  signal?: AbortSignal | undefined;
}

const WARM_UP_RUNS = 3;
const MIN_RUNS = 7;
const MAX_RUNS = 1000;
const MAX_SECONDS = 3;

type Feeds = Readonly<Record<string, RuntimeTensor>>;

/**
 * Loads both models and compares them. A model that gives other numbers at each run is not held to them.
 *
 * @returns null where onnxruntime-node is not installed.
 * @throws SecateurError RUNTIME where the second model does not load, or does not run where the first does; INTERNAL
 *   where its outputs have other shapes or differ beyond the tolerance; ABORTED.
 */
export async function compare(before: string, after: string, options: CompareOptions): Promise<Comparison | null> {
  if (!(await hasRuntime())) return null;
  const { batch, threads, tolerance, signal } = options;
  const nothing = { batch, difference: null, largest: null, latency: null };
  const second = await Session.open(after, { threads });
  const sessions = [second];
  try {
    const ran = await runFirst(before, options, sessions);
    if ('problem' in ran) return { ...nothing, ...ran };
    const { first, feeds, wanted } = ran;
    const { unequal, ...compared } = differenceOf(wanted, await second.run(feeds), tolerance);
    const random =
      unequal !== undefined && differenceOf(wanted, await first.run(feeds), tolerance).unequal !== undefined;
    if (unequal !== undefined && !random) throw new SecateurError('INTERNAL', unequal);
    const latency = options.measure ? await timeBoth(first, second, feeds, signal) : null;
    return random
      ? { ...nothing, latency, problem: 'the outputs of the model differ from run to run' }
      : { batch, ...compared, latency };
  } finally {
    for (const session of sessions) await session.close();
  }
}

/** A model that does not run on random input is no failure: it may need input of another kind. */
async function runFirst(
  path: string,
  { batch, threads }: CompareOptions,
  sessions: Session[],
): Promise<{ first: Session; feeds: Feeds; wanted: Feeds } | { problem: string }> {
  try {
    const first = await Session.open(path, { threads });
    sessions.push(first);
    const feeds = randomFeeds(first, batch);
    return { first, feeds, wanted: await first.run(feeds) };
  } catch (error) {
    if (!(error instanceof SecateurError)) throw error;
    return { problem: error.message };
  }
}

/** Normal-ish numbers for floats, zeros and ones for the rest. The same at every call. */
function randomFeeds(session: Session, batch: number): Feeds {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Object.fromEntries(session.inputs.map((input) => [input.name, randomTensor(session, input, batch, random)]));
}

function randomTensor(
  session: Session,
  { name, type, dims }: RuntimeValue,
  batch: number,
  random: () => number,
): RuntimeTensor {
  const sizes = dims.map((dim, axis) => sizeOf(dim, axis === 0 ? batch : 1));
  const count = sizes.reduce((product, size) => product * size, 1);
  const normal = (): number => random() + random() + random() + random() - 2;
  const data = randomData(type, count, normal);
  if (data === undefined) {
    throw new SecateurError('UNSUPPORTED', `Expected input ${name} to be a tensor of numbers, got ${type}`);
  }
  return session.tensor(data, sizes, type as RuntimeType);
}

/** A length that the model leaves open is chosen. */
function sizeOf(dim: number | string, otherwise: number): number {
  return typeof dim === 'number' && dim > 0 ? dim : otherwise;
}

function randomData(type: string, count: number, normal: () => number): NodeJS.TypedArray | undefined {
  const bit = (): number => (normal() > 0 ? 1 : 0);
  switch (type) {
    case 'float32':
      return Float32Array.from({ length: count }, normal);
    case 'float64':
      return Float64Array.from({ length: count }, normal);
    case 'float16':
      // 0 or 1 in float16's bits.
      return Uint16Array.from({ length: count }, () => bit() * 0x3c00);
    case 'int64':
      return BigInt64Array.from({ length: count }, () => BigInt(bit()));
    case 'int32':
      return Int32Array.from({ length: count }, bit);
    case 'int8':
      return Int8Array.from({ length: count }, bit);
    case 'uint8':
    case 'bool':
      return Uint8Array.from({ length: count }, bit);
    default:
      return undefined;
  }
}

async function timeBoth(first: Session, second: Session, feeds: Feeds, signal?: AbortSignal): Promise<Latency> {
  const timed = [first, second].map((session) => ({ session, seconds: [] as number[] }));
  const started = performance.now();
  for (let run = -WARM_UP_RUNS; run < MAX_RUNS; run++) {
    if (signal?.aborted) throw aborted(signal);
    if (run >= MIN_RUNS && performance.now() - started > MAX_SECONDS * 1000) break;
    // Whoever comes second finds warmer caches; so they take turns.
    timed.reverse();
    for (const { session, seconds } of timed) seconds.push(await secondsOf(session, feeds));
  }
  const [before = [], after = []] = [first, second].map((session) => {
    const seconds = timed.find((candidate) => candidate.session === session)?.seconds;
    return seconds?.slice(WARM_UP_RUNS) ?? [];
  });
  return { before: median(before), after: median(after), runs: before.length };
}

async function secondsOf(session: Session, feeds: Feeds): Promise<number> {
  const started = performance.now();
  await session.run(feeds);
  return (performance.now() - started) / 1000;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
