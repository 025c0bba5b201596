// Ctrl-C in the middle of writing, and readers that close a pipe early.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Outcome, secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
let model = '';

beforeAll(async () => {
  model = temporary.path('yolov4.onnx');
  const { code, stderr } = await secateur(['new', 'yolov4', '-o', model, '-q']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

/** Sends the signal as soon as a temporary file shows that writing has begun. */
function pruneAndInterrupt(output: string, signal: NodeJS.Signals): Promise<Outcome> {
  const folder = path.dirname(output);
  const writing = (): boolean => readdirSync(folder).some((name) => name.includes('.secateur-'));
  return secateur(['prune', model, '-o', output, '--ratio', '0.9', '--json'], {
    during: (child) => {
      const poll = setInterval(() => {
        if (writing()) child.kill(signal);
      }, 1);
      child.on('close', () => clearInterval(poll));
    },
  });
}

describe('an interrupt in the middle of writing', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s leaves the old file, no temporary one, and exit code %d', async (signal, exitCode) => {
    const folder = temporary.path(signal);
    const output = `${folder}/pruned.onnx`;
    mkdirSync(folder);
    // On a busy machine the signal may come when all is written; that is no interrupt, so it is tried again.
    let outcome: Outcome = { code: 0, stdout: '', stderr: '' };
    for (let attempt = 0; attempt < 20 && outcome.code === 0; attempt += 1) {
      writeFileSync(output, 'old');
      outcome = await pruneAndInterrupt(output, signal);
    }
    const { code, stdout, stderr } = outcome;
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toBe('secateur: interrupted: temporary files are removed, nothing else was changed\n');
    expect(readdirSync(folder)).toEqual(['pruned.onnx']);
    expect(readFileSync(output, 'utf8')).toBe('old');
  });
});

describe('a pipe that is closed early', () => {
  it('is no failure, and nothing is said about it', async () => {
    const outcome = await secateur(['inspect', model], { during: (child) => child.stdout.destroy() });
    expect({ code: outcome.code, stderr: outcome.stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('does not keep the work from being done', async () => {
    const output = temporary.path('piped.onnx');
    const outcome = await secateur(['prune', model, '-o', output, '-r', '0.5'], {
      during: (child) => child.stdout.destroy(),
    });
    expect({ code: outcome.code, stderr: outcome.stderr }).toEqual({ code: 0, stderr: '' });
    expect(readFileSync(output).length).toBe(readFileSync(model).length);
  });
});
