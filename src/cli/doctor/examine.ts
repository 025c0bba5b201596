// Collects what `secateur doctor` says: versions, processor, memory, the native addon and its backends, and what is
// broken. Reads only; whoever asks decides how to show it.
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os';
import { type DeviceProbe, probeDevice } from '../../native/device.js';
import { packageInfo } from '../package-info.js';
import { type AddonState, examineAddon } from './addon.js';
import { findOnnxRuntime, type RuntimeState } from './onnxruntime.js';

const OLDEST_NODE = 20;

/** The JSON contract of `doctor --json`. */
export interface Diagnosis {
  secateur: string;
  node: string;
  platform: string;
  cpu: string;
  /** Threads that are used where none are asked for. */
  threads: number;
  memory: { totalBytes: number; freeBytes: number };
  addon: AddonState;
  /** `onnxruntime-node`, which runs models; null where it is not installed. */
  onnxruntime: RuntimeState | null;
  /** Whether a GPU can be used; tried in a child process. */
  cuda: DeviceProbe;
  /** What must be repaired, a sentence each; empty when all is well. */
  problems: string[];
}

export function examine(): Diagnosis {
  const addon = examineAddon();
  return {
    secateur: packageInfo().version,
    node: process.version,
    platform: `${platform()} ${arch()}, ${release()}`,
    cpu: cpus()[0]?.model.trim() || 'unknown',
    threads: availableParallelism(),
    memory: { totalBytes: totalmem(), freeBytes: freemem() },
    addon,
    onnxruntime: findOnnxRuntime(),
    cuda: addon.error === null ? probeDevice() : { available: false, reason: 'The native addon does not load.' },
    problems: findProblems(addon),
  };
}

function findProblems(addon: AddonState): string[] {
  const problems: string[] = [];
  const major = Number(process.versions.node.split('.')[0]);
  if (major < OLDEST_NODE) problems.push(`Expected Node ${OLDEST_NODE} or later, got ${process.version}`);
  if (addon.error !== null) problems.push(addon.error);
  const forced = process.env['SECATEUR_FORCE_BACKEND'];
  if (forced && addon.backend !== null && addon.backend !== forced) {
    problems.push(`Expected SECATEUR_FORCE_BACKEND=${forced} to be obeyed, got ${addon.backend}`);
  }
  return problems;
}
