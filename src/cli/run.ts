// Runs one command: gives it a terminal, a progress bar and the abort signal, and cleans up after it. Errors pass
// through to main.ts, which alone turns them into sentences and exit codes.
import type { Interrupt } from './interrupt.js';
import { Progress } from './progress.js';
import { type OutputOptions, Terminal } from './terminal.js';

export interface CommandContext {
  terminal: Terminal;
  progress: Progress;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
}

/** What a command file needs to know about the process it runs in. */
export type Runner = (options: OutputOptions, work: (context: CommandContext) => void | Promise<void>) => Promise<void>;

export function createRunner(interrupt: Interrupt): Runner {
  return async (options, work) => {
    const terminal = new Terminal(options);
    const progress = new Progress({ quiet: terminal.quiet });
    try {
      await work({ terminal, progress, signal: interrupt.signal });
    } finally {
      progress.stop();
    }
  };
}
