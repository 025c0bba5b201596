// Whether there is a GPU to use: finds the CUDA library and tries it in a child process, so that a broken driver ends
// that process and not the user's.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { SecateurError } from '../errors.js';
import type { NativeDeviceFacts } from './device-contract.js';
import loader from './load.cjs';

/** What the probe has found. `reason` is one sentence. */
export type DeviceProbe =
  | ({ available: true; library: string } & NativeDeviceFacts)
  | { available: false; reason: string };

export const DEVICES = ['auto', 'cpu', 'cuda'] as const;
export type DeviceChoice = (typeof DEVICES)[number];

/** A driver that has to be loaded from a cold disk takes seconds. */
const PROBE_TIMEOUT_MS = 30_000;

// Plain JavaScript for `node -e`: it must not depend on how this package was built.
const PROBE = `
const [addon, library] = process.argv.slice(1);
require(addon).deviceFacts(library).then(
  (facts) => console.log(JSON.stringify(facts)),
  (error) => console.log(JSON.stringify({ reason: error.message })),
);`;

const probes = new Map<string, DeviceProbe>();

/**
 * Looks for a GPU; the answer is kept for as long as the process lives. SECATEUR_CUDA_LIBRARY in the environment names
 * the CUDA library, which else lies beside the addon.
 */
export function probeDevice(): DeviceProbe {
  const library = findLibrary();
  if (library === undefined) return { available: false, reason: 'The CUDA library is not part of this build.' };
  const known = probes.get(library);
  if (known !== undefined) return known;
  const probe = probeLibrary(library);
  probes.set(library, probe);
  return probe;
}

/**
 * The CUDA library to use, undefined for the CPU.
 *
 * @param cpuReason Why only the CPU can do the work; undefined where a GPU can.
 * @throws SecateurError CUDA where `cuda` is asked for and cannot be had.
 */
export function chooseDevice(choice: DeviceChoice, cpuReason: string | undefined): string | undefined {
  if (choice === 'cpu' || (choice === 'auto' && cpuReason !== undefined)) return undefined;
  if (cpuReason !== undefined) {
    throw new SecateurError('CUDA', `Expected device to be "auto" or "cpu", got "cuda": ${cpuReason}`);
  }
  const probe = probeDevice();
  if (probe.available) return probe.library;
  if (choice === 'auto') return undefined;
  throw new SecateurError('CUDA', `Expected device to be "auto" or "cpu", got "cuda": ${probe.reason}`);
}

function findLibrary(): string | undefined {
  const named = process.env['SECATEUR_CUDA_LIBRARY'];
  if (named) return path.resolve(named);
  const name = process.platform === 'win32' ? 'secateur_cuda.dll' : 'libsecateur_cuda.so';
  try {
    const beside = path.join(path.dirname(loader.addonPath()), name);
    return existsSync(beside) ? beside : undefined;
  } catch {
    return undefined;
  }
}

function probeLibrary(library: string): DeviceProbe {
  const { stdout, signal, status, error } = spawnSync(process.execPath, ['-e', PROBE, loader.addonPath(), library], {
    encoding: 'utf8',
    timeout: PROBE_TIMEOUT_MS,
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '' },
  });
  try {
    const answer = JSON.parse(stdout) as NativeDeviceFacts | { reason: string };
    return 'reason' in answer ? { available: false, reason: answer.reason } : { available: true, library, ...answer };
  } catch {
    const ended = signal ?? error?.message ?? `exit code ${status}`;
    return { available: false, reason: `Expected the CUDA library and its driver to answer, got ${ended}.` };
  }
}
