#!/usr/bin/env node
// The program `secateur`: the only place that turns errors into sentences on stderr and exit codes.
// 0 done, 1 failed, 2 wrong usage, 130 interrupted (128 plus the signal's number).
import { CommanderError } from 'commander';
import { SecateurError } from '../errors.js';
import { printable } from './format.js';
import { type Interrupt, listenForInterrupt } from './interrupt.js';
import { createProgram } from './program.js';
import { createRunner } from './run.js';
import { complain } from './terminal.js';

const FAILED = 1;
const WRONG_USAGE = 2;

/** Somebody who reads only the first lines (`| head`) has seen enough: that is no failure. */
function tolerateClosedPipes(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') complain(`Expected to write the result to stdout: ${error.message}`);
    process.exit(error.code === 'EPIPE' ? (process.exitCode ?? 0) : FAILED);
  });
  process.stderr.on('error', () => {
    // Nobody is left to be told.
  });
}

/** Prints what went wrong, and says how the process ends. */
function report(error: unknown, interrupt: Interrupt): number {
  // Commander has printed its own sentence (or the help) already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE;

  const interrupted = interrupt.exitCode();
  if (interrupted !== undefined && isAbort(error)) {
    complain('interrupted: temporary files are removed, nothing else was changed');
    return interrupted;
  }
  complain(sentence(error));
  if (process.env['SECATEUR_DEBUG'] && error instanceof Error) process.stderr.write(`${details(error)}\n`);
  return error instanceof SecateurError && error.code === 'INVALID_OPTION' ? WRONG_USAGE : FAILED;
}

function isAbort(error: unknown): boolean {
  if (error instanceof SecateurError) return error.code === 'ABORTED';
  return error instanceof Error && error.name === 'AbortError';
}

function sentence(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error));
  const known = error instanceof SecateurError || 'errno' in error;
  const message = printable(error.message);
  return known ? message : `internal error: ${message} (SECATEUR_DEBUG=1 shows where)`;
}

function details(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${error.cause.stack ?? error.cause.message}` : '';
  return `${error.stack ?? error.message}${cause}`;
}

async function main(): Promise<number> {
  tolerateClosedPipes();
  const interrupt = listenForInterrupt();
  try {
    await createProgram(createRunner(interrupt)).parseAsync(process.argv);
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return report(error, interrupt);
  }
}

// Not process.exit(): what is still on its way into a pipe must arrive.
process.exitCode = await main();
