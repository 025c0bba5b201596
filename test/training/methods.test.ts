// ADMM, magnitude and plain training as runs: exact counts, masks that hold, reports, and runs that were interrupted.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { admm, admmPhases } from '../../src/training/methods/admm.js';
import { magnitude, magnitudePhases } from '../../src/training/methods/magnitude.js';
import type { RunOptions } from '../../src/training/methods/run.js';
import { train } from '../../src/training/methods/train.js';
import { Trainer } from '../../src/training/trainer.js';
import { digits, mlp } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'secateur-methods-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const WEIGHTS = 784 * 32 + 320;
const batches = digits('train', 320);
const validation = digits('test', 128);
const optimizer = { type: 'adam', learningRate: 1e-3 } as const;

async function withMlp<T>(use: (trainer: Trainer) => Promise<T>, averageDecay = 0): Promise<T> {
  const trainer = await Trainer.create(mlp(), { optimizer, threads: 1, averageDecay });
  try {
    return await use(trainer);
  } finally {
    await trainer.close();
  }
}

function parametersOf(trainer: Trainer): number[][] {
  return trainer.store.views('parameters').map((view) => [...view]);
}

const quick = { iterations: 3, retrainEpochs: 2, validation } as const;

describe('admm', () => {
  it('removes exactly the ratio, reports every iteration and layer, and nothing comes back', async () => {
    await withMlp(async (trainer) => {
      const report = await admm(trainer, batches, { ratio: 0.9, ...quick });
      const removed = Math.round(0.9 * WEIGHTS);
      expect(report.sparsity).toBe(removed / WEIGHTS);
      expect(report.tensors.map(({ weights }) => weights)).toEqual([784 * 32, 320]);
      const zeros = trainer.store.views('parameters').flatMap((view, index) => {
        return trainer.trainable.parameters[index]?.prune ? [...view].filter((value) => value === 0) : [];
      });
      expect(zeros).toHaveLength(removed);
      expect(report).toMatchObject({ method: 'admm', scope: 'global', ratio: 0.9, epochs: 5, seed: 3 });
      expect(report.history.iterations).toHaveLength(3);
      for (const { gap, supportChanged } of report.history.iterations) {
        expect(gap).toBeGreaterThan(0);
        expect(supportChanged).toBeGreaterThan(0);
      }
      expect(report.history.iterations[0]?.loss).toBeNull();
      expect(report.history.iterations[2]?.loss).toBeGreaterThan(0);
      expect(report.history.prunings).toHaveLength(1);
      expect(report.history.prunings[0]?.removed).toBe(removed);
      expect(report.history.prunings[0]?.overlap).toBeGreaterThan(0.1);
      expect(report.after?.loss).toBeLessThan(report.before?.loss ?? 0);
    });
  });

  it('pulls W towards Z: a large rho leaves a smaller gap than a tiny one', async () => {
    const gap = (rho: number) =>
      withMlp(async (trainer) => {
        const learningRate = { type: 'constant', learningRate: 3e-3 } as const;
        const options = { ratio: 0.9, iterations: 8, rho, retrainEpochs: 0, learningRate };
        const { history } = await admm(trainer, batches, options);
        return history.iterations.at(-1)?.gap ?? Number.NaN;
      });
    expect(await gap(1)).toBeLessThan(0.7 * (await gap(1e-9)));
  });

  it('keeps layers apart with scope layer, and lifts the mask between rounds', async () => {
    await withMlp(async (trainer) => {
      const report = await admm(trainer, batches, {
        ...{ ratio: 0.9, rounds: [0.5], scope: 'layer', iterations: 1, retrainEpochs: 1 },
      });
      const kept = report.tensors.map(({ weights, kept: count }) => [weights, count]);
      expect(kept).toEqual([784 * 32, 320].map((weights) => [weights, weights - Math.round(0.9 * weights)]));
      expect(report.history.prunings.map(({ ratio }) => ratio)).toEqual([0.5, 0.9]);
    });
  });

  it('makes the moving average the result, with the same zeros', async () => {
    await withMlp(async (trainer) => {
      const report = await admm(trainer, batches, { ratio: 0.8, ...quick });
      expect(report.sparsity).toBe(Math.round(0.8 * WEIGHTS) / WEIGHTS);
    }, 0.9);
  });
});

describe('magnitude', () => {
  it('removes at once, and gradually at a cubic ratio', async () => {
    for (const schedule of ['one-shot', 'gradual'] as const) {
      await withMlp(async (trainer) => {
        const options = { ratio: 0.9, schedule, rampEpochs: 2, retrainEpochs: 1, validation };
        const report = await magnitude(trainer, batches, options);
        expect(report.sparsity).toBe(Math.round(0.9 * WEIGHTS) / WEIGHTS);
        expect(report.epochs).toBe(schedule === 'gradual' ? 3 : 1);
      });
    }
    const [ramp] = magnitudePhases({ ratio: 0.8, schedule: 'gradual', rampEpochs: 4 });
    const ratios = ramp?.kind === 'gradual' ? ramp.targets.map(({ ratio }) => ratio) : [];
    const [later] = magnitudePhases({ ratio: 0.9, startRatio: 0.8, schedule: 'gradual', rampEpochs: 2 });
    expect(later?.kind === 'gradual' && later.targets.map(({ ratio }) => ratio.toFixed(4))).toEqual([
      '0.8000',
      '0.8875',
    ]);
    expect(ratios.map((ratio) => ratio.toFixed(6))).toEqual(['0.000000', '0.462500', '0.700000', '0.787500']);
  });
});

describe('a run that was interrupted', () => {
  const checkpoint = join(folder, 'run.checkpoint');

  /** Runs ADMM, aborted after so many steps; from the checkpoint where `resume` says so. */
  async function run(options: RunOptions & { stopAfter?: number }) {
    const { stopAfter = Number.POSITIVE_INFINITY, ...rest } = options;
    const controller = new AbortController();
    return await withMlp(async (trainer) => {
      let steps = 0;
      const onProgress = () => {
        steps += 1;
        if (steps === stopAfter) controller.abort();
      };
      const settings = { ratio: 0.9, ...quick, checkpoint, onProgress, signal: controller.signal, ...rest };
      const report = await admm(trainer, batches, settings);
      return { history: report.history, after: report.after, parameters: parametersOf(trainer) };
    }, 0.9);
  }

  it('goes on with the losses and bits of one that was not, wherever it was stopped', async () => {
    const whole = await run({});
    // In the first epoch, at the end of an epoch, in the middle of ADMM, in retraining.
    for (const stopAfter of [3, 10, 24, 47]) {
      rmSync(checkpoint, { force: true });
      await expect(run({ stopAfter })).rejects.toMatchObject({ code: 'ABORTED' });
      expect(existsSync(checkpoint)).toBe(true);
      const resumed = await run({ resume: true });
      expect(resumed.history).toEqual(whole.history);
      expect(resumed).toEqual(whole);
    }
  });

  it('is refused with another model or other options, and nothing is changed', async () => {
    rmSync(checkpoint, { force: true });
    await expect(run({ stopAfter: 12 })).rejects.toMatchObject({ code: 'ABORTED' });
    const kept = readFileSync(checkpoint);
    const other = await Trainer.create(mlp({ hidden: 16 }), { optimizer, threads: 1 });
    const before = parametersOf(other);
    await expect(admm(other, batches, { ratio: 0.9, ...quick, checkpoint, resume: true })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('checkpoint of this model'),
    });
    expect(parametersOf(other)).toEqual(before);
    await other.close();
    await withMlp(async (trainer) => {
      const before = parametersOf(trainer);
      const same = { ratio: 0.9, ...quick, checkpoint, resume: true };
      const otherData = digits('train', 320, 4);
      for (const [source, options] of [
        [batches, { ...same, ratio: 0.8 }],
        [otherData, same],
      ] as const) {
        await expect(admm(trainer, source, options)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
      }
      expect(parametersOf(trainer)).toEqual(before);
    });
    expect(readFileSync(checkpoint).equals(kept)).toBe(true);
  });
});

describe('train', () => {
  it('keeps the zeros of a pruned model where asked to', async () => {
    await withMlp(async (trainer) => {
      await trainer.store.setMaskByMagnitude({ ratio: 0.7 });
      trainer.store.clearMask();
      const report = await train(trainer, batches, { epochs: 1, keepZeros: true, validation });
      expect(report.sparsity).toBe(Math.round(0.7 * WEIGHTS) / WEIGHTS);
      expect(report).toMatchObject({ method: 'train', ratio: null, scope: null, epochs: 1 });
    });
  });
});

describe('options', () => {
  it('are checked', () => {
    expect(() => admmPhases({ ratio: 1 })).toThrow(/ratio to be a number in \[0, 1\), got 1/);
    expect(() => admmPhases({ ratio: 0.5, rho: 0 })).toThrow(/rho/);
    expect(() => admmPhases({ ratio: 0.5, rounds: [0.4, 0.3] })).toThrow(/rounds/);
    expect(() => admmPhases({ ratio: 0.5, iteration: 3 } as never)).toThrow(/did you mean/i);
    expect(() => magnitudePhases({ ratio: 0.5, schedule: 'slow' as never })).toThrow(/schedule/);
  });
});
