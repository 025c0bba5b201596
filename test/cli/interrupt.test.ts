// Ctrl-C in the middle of writing, and readers that close a pipe early.
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
let model = '';

beforeAll(async () => {
  model = temporary.path('yolov4.onnx');
  const { code, stderr } = await secateur(['new', 'yolov4', '-o', model, '-q']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

describe('an interrupt in the middle of writing', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s leaves the old file, no temporary one, and exit code %d', async (signal, exitCode) => {
    const folder = temporary.path(signal);
    mkdirSync(folder);
    const output = `${folder}/pruned.onnx`;
    writeFileSync(output, 'old');
    let seen = false;
    const { code, stdout, stderr } = await secateur(['prune', model, '-o', output, '--ratio', '0.9', '--json'], {
      during: async (child) => {
        const closed = once(child, 'close');
        while (child.exitCode === null && !seen) {
          seen = readdirSync(folder).some((name) => name.includes('.secateur-'));
          if (seen) child.kill(signal);
          else await Promise.race([sleep(1), closed]);
        }
      },
    });
    expect(seen).toBe(true);
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
