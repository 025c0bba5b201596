// Turns SIGINT, SIGTERM and SIGHUP into one AbortSignal, so that a command can remove its temporary files before the
// process ends. The exit status follows the shells: 128 plus the signal's number.
import { complain } from './terminal.js';

const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
type Caught = keyof typeof NUMBERS;

// npm and npx pass Ctrl-C on to a child that the terminal has told already, so one key press comes twice.
const SAME_KEY_PRESS_MS = 1000;

export interface Interrupt {
  readonly signal: AbortSignal;
  /** 130 after SIGINT, and so on; undefined as long as no signal came. */
  exitCode(): number | undefined;
}

/** Listens for the rest of the process's life. A later second signal ends the process at once. */
export function listenForInterrupt(): Interrupt {
  const controller = new AbortController();
  let code: number | undefined;
  let first = 0;
  const onSignal = (name: Caught): void => {
    if (code === undefined) {
      code = 128 + NUMBERS[name];
      first = Date.now();
      controller.abort();
    } else if (Date.now() - first > SAME_KEY_PRESS_MS) {
      complain('stopped before temporary files were removed');
      process.exit(code);
    }
  };
  for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(name, onSignal);
  return { signal: controller.signal, exitCode: () => code };
}
