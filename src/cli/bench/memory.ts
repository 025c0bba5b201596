// Watches the anonymous memory of another process: what it allocated itself, without the files that it maps and that the
// kernel can drop at any time. Read from /proc/PID/status (RssAnon), so it is known on Linux only.
import { readFileSync } from 'node:fs';

const INTERVAL_MS = 3;

export interface MemoryWatch {
  /** Ends the watch; the highest value seen, in bytes, or null where nothing could be read. */
  stop(): number | null;
}

/** Samples RssAnon every few milliseconds until it is stopped. */
export function watchAnonymousMemory(pid: number): MemoryWatch {
  let peak: number | null = null;
  const sample = (): void => {
    const now = anonymousMemory(pid);
    if (now !== null && now > (peak ?? 0)) peak = now;
  };
  sample();
  const timer = setInterval(sample, INTERVAL_MS);
  return {
    stop: () => {
      clearInterval(timer);
      return peak;
    },
  };
}

function anonymousMemory(pid: number): number | null {
  try {
    const match = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return match?.[1] === undefined ? null : 1024 * Number(match[1]);
  } catch {
    return null; // The process has ended, or this is not Linux.
  }
}
