// Times `secateur prune` of a model with external data against `cp` of the same files, alternately and with a warm
// cache. Makes the model, measures, and removes everything it made.
import { mkdir, mkdtemp, open, rm, stat, statfs } from 'node:fs/promises';
import { freemem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SecateurError } from '../../errors.js';
import type { NativeAddon } from '../../native/contract.js';
import { formatBytes } from '../format.js';
import { writeBenchmarkModel } from './model.js';
import { runProcess } from './processes.js';
import { median } from './statistics.js';

export interface PruneBenchmark {
  /** Size of the weights. */
  bytes: number;
  ratio: number;
  threads: number | undefined;
  /** An existing folder; a folder of our own is made in it and removed. */
  folder: string;
  repeats: number;
  signal: AbortSignal;
  progress: (phase: string, done: number, total: number, unit: 'bytes' | 'steps') => void;
  warn: (sentence: string) => void;
}

/** The JSON contract of `bench prune --json`. */
export interface PruneBenchResult {
  /** Of the model's files together. */
  bytes: number;
  ratio: number;
  repeats: number;
  /**
   * Medians. `copy`: the process `cp`. `prune`: what `prune --json` reports as seconds.total. `pruneProcess`: the whole
   * process around it, with the start of Node.
   */
  seconds: { copy: number; prune: number; pruneProcess: number };
  pruneToCopy: number;
  /** Highest anonymous memory of the pruning process in any run; null where the system does not say (not Linux). */
  rssAnonBytes: number | null;
}

export async function benchmarkPrune(addon: NativeAddon, benchmark: PruneBenchmark): Promise<PruneBenchResult> {
  await checkRoom(benchmark);
  const folder = await mkdtemp(path.join(benchmark.folder, 'secateur-bench-'));
  try {
    const files = await writeBenchmarkModel(addon, folder, benchmark);
    return await alternate(folder, files, benchmark);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The model, and one copy of it at a time. */
async function checkRoom({ bytes, folder, warn }: PruneBenchmark): Promise<void> {
  const { bavail, bsize } = await statfs(folder).catch((cause: unknown) => {
    throw new SecateurError('IO', `Expected --dir to be an existing folder, got ${JSON.stringify(folder)}`, {
      path: folder,
      cause,
    });
  });
  const needed = 2.02 * bytes + 2 ** 20;
  if (bavail * bsize < needed) {
    throw new SecateurError(
      'IO',
      `Expected ${formatBytes(needed)} free in ${folder} for the model and a copy, got ${formatBytes(bavail * bsize)}; ` +
        'choose another --dir or fewer --bytes',
      { path: folder, errno: 'ENOSPC' },
    );
  }
  if (freemem() < 2 * bytes) {
    warn('the model and its copy may not both fit into free memory, so this measures the disk as well');
  }
}

interface Sample {
  copy: number;
  prune: number;
  pruneProcess: number;
  rssAnonBytes: number | null;
}

async function alternate(
  folder: string,
  files: readonly string[],
  benchmark: PruneBenchmark,
): Promise<PruneBenchResult> {
  const copy = await copier();
  const samples: Sample[] = [];
  // The first round gets pages that the system has never given out before, and is not counted.
  for (let round = 0; round <= benchmark.repeats; round += 1) {
    benchmark.progress('measuring', round, benchmark.repeats + 1, 'steps');
    const sample = await measureOnce(folder, files, benchmark, copy);
    if (round > 0) samples.push(sample);
  }
  const of = (pick: (sample: Sample) => number): number => median(samples.map(pick));
  const seconds = {
    copy: of((sample) => sample.copy),
    prune: of((sample) => sample.prune),
    pruneProcess: of((sample) => sample.pruneProcess),
  };
  const peaks = samples.flatMap(({ rssAnonBytes }) => rssAnonBytes ?? []);
  return {
    bytes: await totalBytes(folder, files),
    ratio: benchmark.ratio,
    repeats: benchmark.repeats,
    seconds,
    pruneToCopy: seconds.prune / seconds.copy,
    rssAnonBytes: peaks.length === 0 ? null : Math.max(...peaks),
  };
}

async function measureOnce(
  folder: string,
  files: readonly string[],
  { ratio, threads, signal }: PruneBenchmark,
  copy: Copier,
): Promise<Sample> {
  const target = path.join(folder, 'out');
  const sources = files.map((file) => path.join(folder, file));
  const [model = ''] = sources;

  await freshFolder(target, sources, signal);
  const copied = await runProcess(copy.program, [...copy.args, ...sources, target], signal);

  await freshFolder(target, sources, signal);
  const program = fileURLToPath(new URL('../main.js', import.meta.url));
  const args = ['prune', model, '-o', path.join(target, 'model.onnx'), '--ratio', String(ratio), '--json', '--quiet'];
  if (threads !== undefined) args.push('--threads', String(threads));
  const pruned = await runProcess(process.execPath, [program, ...args], signal);
  await rm(target, { recursive: true });
  return {
    copy: copied.seconds,
    prune: reportedSeconds(pruned.stdout),
    pruneProcess: pruned.seconds,
    rssAnonBytes: pruned.rssAnonBytes,
  };
}

/**
 * An empty folder to write into, with nothing waiting to be written to disk (that would slow down whoever comes next)
 * and the sources in the cache.
 */
async function freshFolder(target: string, sources: readonly string[], signal: AbortSignal): Promise<void> {
  await rm(target, { recursive: true, force: true });
  await mkdir(target);
  await runProcess('sync', [], signal).catch(() => signal.throwIfAborted()); // Not everywhere is such a program.
  const buffer = Buffer.allocUnsafe(2 ** 22);
  for (const source of sources) {
    const file = await open(source, 'r');
    try {
      while ((await file.read(buffer, 0, buffer.length)).bytesRead > 0);
    } finally {
      await file.close();
    }
  }
}

interface Copier {
  program: string;
  args: string[];
}

/** GNU cp shares the blocks of a file where the file system can; that copies nothing, so it is told not to. */
async function copier(): Promise<Copier> {
  const gnu = await runProcess('cp', ['--version'], new AbortController().signal).then(
    ({ stdout }) => stdout.includes('GNU'),
    () => false,
  );
  return { program: 'cp', args: gnu ? ['--reflink=never'] : [] };
}

function reportedSeconds(stdout: string): number {
  const report: unknown = JSON.parse(stdout);
  if (typeof report === 'object' && report !== null && 'seconds' in report) {
    const { seconds } = report;
    if (typeof seconds === 'object' && seconds !== null && 'total' in seconds && typeof seconds.total === 'number') {
      return seconds.total;
    }
  }
  throw new SecateurError('INTERNAL', 'Expected prune --json to report seconds.total');
}

async function totalBytes(folder: string, files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(async (file) => (await stat(path.join(folder, file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
