// A progress bar on stderr for work that lasts: it appears after a second, only on a terminal, and leaves no trace.
// Shows the phase, the percentage, the speed and the time left; knows nothing about what is done.
import { SingleBar } from 'cli-progress';
import { formatBytes, formatTimeLeft } from './format.js';

const PATIENCE_MS = 1000;

// The library names its phases; people read what is being done.
const PHASES: Readonly<Record<string, string>> = {
  select: 'selecting',
  write: 'writing',
  check: 'checking',
  count: 'counting',
};

export class Progress {
  private readonly enabled: boolean;
  private readonly start = Date.now();
  private bar: SingleBar | undefined;
  private phase = '';
  private phaseStart = 0;
  private doneAtStart = 0;

  constructor({ quiet }: { quiet: boolean }) {
    this.enabled = !quiet && Boolean(process.stderr.isTTY) && process.env['TERM'] !== 'dumb';
  }

  /**
   * Takes bytes, or steps (which have no speed). Cheap: it may be called often. The time left is that of the phase; its
   * name is shown, or `shown` where that changes more often.
   */
  update(phase: string, done: number, total: number, unit: 'bytes' | 'steps' = 'bytes', shown = phase): void {
    if (!this.enabled || total <= 0) return;
    const now = Date.now();
    if (phase !== this.phase) {
      this.phase = phase;
      this.phaseStart = now;
      this.doneAtStart = done;
    }
    const text = PHASES[shown] ?? shown;
    if (!this.bar) {
      if (now - this.start < PATIENCE_MS) return;
      this.bar = openBar();
      this.bar.start(total, done, { text, speed: '' });
    }
    this.bar.setTotal(total);
    this.bar.update(done, {
      text,
      speed: speed(done - this.doneAtStart, total - this.doneAtStart, (now - this.phaseStart) / 1000, unit),
    });
  }

  /** Removes the bar; safe to call at any time and more than once. */
  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}

function speed(done: number, total: number, seconds: number, unit: 'bytes' | 'steps'): string {
  if (seconds < 0.25 || done <= 0) return '';
  const left = formatTimeLeft(((total - done) * seconds) / done);
  return unit === 'bytes' ? `${formatBytes(done / seconds)}/s, ${left}` : left;
}

function openBar(): SingleBar {
  const width = process.stderr.columns || 80;
  return new SingleBar({
    format: '{text} [{bar}] {percentage}% {speed}',
    barsize: Math.max(8, Math.min(40, width - 50)),
    barCompleteChar: '=',
    barIncompleteChar: ' ',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: false,
    fps: 10,
  });
}
