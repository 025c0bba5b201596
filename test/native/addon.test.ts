// The addon in the situations that break addons: worker threads, exit in mid-call, garbage, wrong handles.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { addon } from '../../src/native/addon.js';
import type { NativeSelectOptions, SelectionHandle } from '../../src/native/contract.js';
import loader from '../../src/native/load.cjs';

const run = promisify(execFile);
const at = (data: Float32Array, index: number) => data[index] ?? Number.NaN;
const addonFile = loader.addonPath();
const select: NativeSelectOptions = {
  ratios: [0.5],
  scope: 'global',
  minKeep: 0,
  threads: 0,
  allowNonfinite: false,
};

/** 300,000 weights sin(i * i), the lower half of which a sort has set to zero: what every backend must give. */
function prunedBySorting(): Float32Array {
  const data = Float32Array.from({ length: 300_000 }, (_, i) => Math.sin(i * i));
  const order = Array.from(data.keys()).sort((a, b) => Math.abs(at(data, a)) - Math.abs(at(data, b)) || b - a);
  for (const index of order.slice(0, 150_000)) data[index] = 0;
  return data;
}

const prunedHash = createHash('sha256').update(prunedBySorting()).digest('hex');

/** Runs a script in a Node process of its own, with `native` and `select` at hand. */
function inProcess(script: string, flags: string[] = [], env: NodeJS.ProcessEnv = process.env) {
  const prelude = `const native = require(${JSON.stringify(addonFile)});
    const select = ${JSON.stringify(select)};`;
  return run(process.execPath, [...flags, '-e', prelude + script], { env });
}

describe('backends', () => {
  it('chooses the best, and always has the portable one', () => {
    const names = addon().backends();
    expect(names.at(-1)).toBe('portable');
    if (!process.env['SECATEUR_FORCE_BACKEND']) expect(addon().backend()).toBe(names[0]);
  });

  it.each(addon().backends())('%s can be forced, and gives the same bits', async (name) => {
    const { stdout } = await inProcess(
      `const data = Float32Array.from({ length: 300000 }, (_, i) => Math.sin(i * i));
       const tensors = [{ data, dtype: 'float32', factor: 1 }];
       native.select(tensors, select)
         .then(([{ handle }]) => native.applySelection(handle, tensors, 0))
         .then(() => console.log(native.backend(),
           require('node:crypto').createHash('sha256').update(data).digest('hex')));`,
      [],
      { ...process.env, SECATEUR_FORCE_BACKEND: name },
    );
    expect(stdout).toBe(`${name} ${prunedHash}\n`);
  });

  it('refuses a name that is none', async () => {
    const env = { ...process.env, SECATEUR_FORCE_BACKEND: 'sse9' };
    await expect(inProcess('native.backend()', [], env)).rejects.toMatchObject({
      stderr: expect.stringMatching(/Expected SECATEUR_FORCE_BACKEND to be one of .*portable.*, got "sse9"/),
    });
  });
});

describe('lifetimes', () => {
  it('works in several worker threads at once, and survives their end', async () => {
    const script = `
      const { parentPort } = require('node:worker_threads');
      const native = require(${JSON.stringify(addonFile)});
      const data = Float32Array.from({ length: 200000 }, (_, i) => Math.sin(i));
      native.select([{ data, dtype: 'float32', factor: 1 }], ${JSON.stringify(select)})
        .then(([{ removed }]) => parentPort.postMessage(removed));`;
    const removed = Array.from({ length: 4 }, () => {
      const worker = new Worker(script, { eval: true });
      return new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
    });
    expect(await Promise.all(removed)).toEqual([100_000, 100_000, 100_000, 100_000]);
  });

  it('lets a worker be terminated in mid-call', async () => {
    const script = `
      const native = require(${JSON.stringify(addonFile)});
      const data = new Float32Array(2e7);
      native.fillNormal(data, { seed: 1, stream: 0, std: 1 });
      require('node:worker_threads').parentPort.postMessage('started');
      native.select([{ data, dtype: 'float32', factor: 1 }], ${JSON.stringify(select)}, { progress() {} });`;
    const worker = new Worker(script, { eval: true });
    await new Promise((resolve) => worker.once('message', resolve));
    expect(await worker.terminate()).toBe(1);
  });

  it('lets the process exit in mid-call', async () => {
    const { stdout } = await inProcess(`
      const data = new Float32Array(2e7);
      native.select([{ data, dtype: 'float32', factor: 1 }], select, { progress() {} });
      console.log('leaving');
      process.exit(0);`);
    expect(stdout).toBe('leaving\n');
  });

  it('holds the weights until the call is done, and lets go of them after', async () => {
    const { stdout } = await inProcess(
      `let collected = 0;
       const registry = new FinalizationRegistry(() => collected++);
       async function once() {
         let data = new Float32Array(1e6).fill(1);
         registry.register(data);
         const call = native.select([{ data, dtype: 'float32', factor: 1 }], select);
         data = undefined;
         gc();
         return (await call)[0].removed;
       }
       (async () => {
         for (let i = 0; i < 20; i++) if ((await once()) !== 500000) throw new Error('wrong');
         for (let i = 0; i < 10; i++) { gc(); await new Promise((next) => setTimeout(next, 10)); }
         console.log(collected >= 18);
       })();`,
      ['--expose-gc'],
    );
    expect(stdout).toBe('true\n');
  });
});

describe('the border', () => {
  const tensor = { data: Float32Array.of(1, 2), dtype: 'float32' as const, factor: 1 };

  it('refuses handles that are not its own', () => {
    const wrong = {} as SelectionHandle;
    expect(() => addon().applySelection(wrong, [tensor], 0)).toThrow('Expected handle to be that of a selection');
    const cancel = addon().createCancel() as unknown as { flag: SelectionHandle };
    expect(() => addon().applySelection(cancel.flag, [tensor], 0)).toThrow('Expected handle');
  });

  it('refuses numbers that are not safe integers', () => {
    for (const threads of [0.5, 2 ** 53, Number.NaN]) {
      expect(() => addon().select([tensor], { ...select, threads })).toThrow('Expected threads to be a safe integer');
    }
  });

  it('is found inside this package', () => {
    expect(path.extname(addonFile)).toBe('.node');
  });
});

describe('fillNormal', () => {
  it('gives the same bits for a seed and a stream, and others for others', () => {
    const fill = (seed: number, stream: number) => {
      const target = new Float32Array(1001);
      addon().fillNormal(target, { seed, stream, std: 2 });
      return target;
    };
    expect(fill(1, 2)).toEqual(fill(1, 2));
    expect(fill(1, 2)).not.toEqual(fill(1, 3));
    expect(fill(1, 2)).not.toEqual(fill(2, 2));
  });
});
