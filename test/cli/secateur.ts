// Runs the built program as a user does: as a child process, with its own environment and pipes.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect } from 'vitest';

const program = fileURLToPath(new URL('../../dist/esm/src/cli/main.js', import.meta.url));

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Surroundings {
  env?: Record<string, string>;
  cwd?: string;
  /** Called with the running process, to send it signals or close its pipes. */
  during?: (child: ChildProcessWithoutNullStreams) => void;
}

/** Runs `secateur ...args` to its end. Colours and COLUMNS are off unless asked for. */
export function secateur(args: readonly string[], { env = {}, cwd, during }: Surroundings = {}): Promise<Outcome> {
  if (!existsSync(program)) throw new Error(`Expected ${program} to exist: run npm run compile first`);
  const { NO_COLOR: _, FORCE_COLOR: __, COLUMNS: ___, SECATEUR_DEBUG: ____, ...rest } = process.env;
  const child = spawn(process.execPath, [program, ...args], { env: { ...rest, ...env }, ...(cwd ? { cwd } : {}) });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.end();
  during?.(child);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** What `secateur ...args --json` prints, where it ends well and says nothing on stderr. */
export async function secateurJson(...args: string[]) {
  const { code, stdout, stderr } = await secateur([...args, '--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

/** A folder for the tests of one file, removed after them. Call at the top of a describe block or file. */
export function temporaryFolder(): { path: (...parts: string[]) => string } {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'secateur-cli-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return { path: (...parts) => path.join(folder, ...parts) };
}
