// Runs the selections of other libraries on the same work, each in a Python process of its own that times itself
// (bench/peers/*.py). A peer that is not installed, fails or takes too long is left out, with the reason.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Distribution, DType } from '../../native/contract.js';
import { packageInfo } from '../package-info.js';

const execute = promisify(execFile);
const PROBE_TIMEOUT_MS = 30_000;

export interface PeerWork {
  elements: number;
  dtype: DType;
  distribution: Distribution;
  /** Peers of this device run. */
  device: 'cpu' | 'cuda';
  ratio: number;
  threads: number;
  repeats: number;
}

export interface PeerRun {
  work: PeerWork;
  /** A peer that needs longer is stopped and left out. */
  timeoutMs: number;
  signal: AbortSignal;
  /** Told which peer is next. */
  started: (name: string) => void;
  /** Told why a peer is left out. */
  leftOut: (name: string, reason: string) => void;
}

interface Peer {
  name: string;
  module: string;
  script: string;
}

const PEERS: Readonly<Record<PeerWork['device'], readonly Peer[]>> = {
  cpu: [
    { name: 'numpy.partition', module: 'numpy', script: 'numpy_partition.py' },
    { name: 'torch.kthvalue', module: 'torch', script: 'torch_kthvalue.py' },
    { name: 'torch global_unstructured', module: 'torch', script: 'torch_global_unstructured.py' },
  ],
  cuda: [
    { name: 'torch.kthvalue on cuda', module: 'torch', script: 'torch_cuda_kthvalue.py' },
    { name: 'torch.topk on cuda', module: 'torch', script: 'torch_cuda_topk.py' },
    { name: 'torch.sort on cuda', module: 'torch', script: 'torch_cuda_sort.py' },
  ],
};

export interface PeerTime {
  name: string;
  /** Median. */
  seconds: number;
  /** Of the library. */
  version: string;
}

/** Times the peers one after another, so that none disturbs another. */
export async function timePeers(run: PeerRun): Promise<PeerTime[]> {
  const times: PeerTime[] = [];
  for (const { name, module, script } of PEERS[run.work.device]) {
    const python = await pythonWith(module, run.signal);
    if (python === undefined) {
      run.leftOut(name, `no python3 on PATH has ${module}`);
      continue;
    }
    run.started(name);
    const outcome = await timePeer(python, script, run);
    if (typeof outcome === 'string') run.leftOut(`${name} for ${run.work.dtype}`, outcome);
    else times.push({ name, ...outcome });
  }
  return times;
}

const found = new Map<string, Promise<string | undefined>>();

/** The first python3 on PATH that can import a module; machines have several, and the first may be bare. */
export function pythonWith(module: string, signal: AbortSignal): Promise<string | undefined> {
  let search = found.get(module);
  if (search === undefined) {
    search = searchPython(module, signal);
    found.set(module, search);
  }
  return search;
}

async function searchPython(module: string, signal: AbortSignal): Promise<string | undefined> {
  const folders = [...new Set((process.env['PATH'] ?? '').split(path.delimiter))].filter((folder) => folder !== '');
  for (const folder of folders) {
    const python = path.join(folder, process.platform === 'win32' ? 'python.exe' : 'python3');
    if (!existsSync(python)) continue;
    try {
      await execute(python, ['-c', `import ${module}`], { timeout: PROBE_TIMEOUT_MS, signal });
      return python;
    } catch {
      signal.throwIfAborted();
    }
  }
  return undefined;
}

/** The measurement, or a sentence that says why there is none. */
async function timePeer(
  python: string,
  script: string,
  { work, timeoutMs, signal }: PeerRun,
): Promise<Omit<PeerTime, 'name'> | string> {
  const file = path.join(packageInfo().root, 'bench/peers', script);
  try {
    const { stdout } = await execute(python, ['-B', file, JSON.stringify(work)], {
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      signal,
      env: { ...process.env, ...threadLimits(work.threads) },
    });
    return parseAnswer(stdout);
  } catch (error) {
    signal.throwIfAborted();
    return failure(error, timeoutMs);
  }
}

/** Some BLAS and OpenMP builds read their thread count only from the environment. */
export function threadLimits(threads: number): Record<string, string> {
  const count = String(threads);
  return { OMP_NUM_THREADS: count, MKL_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count };
}

function parseAnswer(stdout: string): Omit<PeerTime, 'name'> | string {
  const answer: unknown = JSON.parse(stdout);
  if (typeof answer === 'object' && answer !== null && 'seconds' in answer && 'version' in answer) {
    const { seconds, version } = answer;
    if (typeof seconds === 'number' && typeof version === 'string') return { seconds, version };
  }
  return `answered ${stdout.trim().slice(0, 80)}`;
}

function failure(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if ('killed' in error && error.killed === true) return `took longer than ${timeoutMs / 1000} s`;
  const stderr = 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim() : '';
  return stderr.split('\n').at(-1) || error.message.split('\n')[0] || 'failed';
}
