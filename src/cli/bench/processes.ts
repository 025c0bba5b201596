// Child processes of the benchmarks: run one to its end, time it, and pass on what it said when it failed.
import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { SecateurError } from '../../errors.js';
import { watchAnonymousMemory } from './memory.js';

export interface FinishedProcess {
  /** From the start of the process to its end. */
  seconds: number;
  stdout: string;
  /** Highest anonymous memory seen, in bytes; null where the system does not say. */
  rssAnonBytes: number | null;
}

/** @throws SecateurError IO with the last line of its stderr, when the process fails. */
export function runProcess(program: string, args: readonly string[], signal: AbortSignal): Promise<FinishedProcess> {
  return new Promise((resolve, reject) => {
    const begin = performance.now();
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGTERM' });
    const watch = child.pid === undefined ? undefined : watchAnonymousMemory(child.pid);
    let stdout = '';
    let stderr = '';
    let failure: Error | undefined;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', (error) => (failure = error));
    // 'close' comes after 'error' and after all output, so nothing of the child is left when we go on.
    child.on('close', (status) => {
      const seconds = (performance.now() - begin) / 1000;
      const rssAnonBytes = watch?.stop() ?? null;
      if (failure) reject(failure);
      else if (status === 0) resolve({ seconds, stdout, rssAnonBytes });
      else reject(processFailed(program, status, stderr));
    });
  });
}

function processFailed(program: string, status: number | null, stderr: string): SecateurError {
  const said = stderr.trim().split('\n').at(-1) || 'nothing on stderr';
  return new SecateurError('IO', `Expected ${program} to end with status 0, got ${status}: ${said}`);
}
