// Training that prunes by groups: ADMM's projection and the masks of retraining, channels with all that follows them,
// n:m and blocks, runs that were interrupted.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Feeds } from '../../src/data/feeds.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';
import type { Granularity } from '../../src/prune/granularity.js';
import { inspect } from '../../src/prune/inspect.js';
import { prune } from '../../src/prune/prune.js';
import { admm } from '../../src/training/methods/admm.js';
import { magnitude } from '../../src/training/methods/magnitude.js';
import type { RunOptions } from '../../src/training/methods/run.js';
import { ParameterStore } from '../../src/training/parameter-store.js';
import { Trainer } from '../../src/training/trainer.js';
import { weightsOf } from '../prune/reference.js';
import { digits, mlp, smallResNet } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'secateur-granularity-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const batches = digits('train', 160);
const optimizer = { type: 'adam', learningRate: 1e-3 } as const;
const quick = { iterations: 2, retrainEpochs: 1 } as const;

async function withTrainer<T>(
  model: ModelProto,
  granularity: Granularity,
  use: (trainer: Trainer) => Promise<T>,
): Promise<T> {
  const trainer = await Trainer.create(model, { optimizer, threads: 1, granularity });
  try {
    return await use(trainer);
  } finally {
    await trainer.close();
  }
}

const viewOf = (trainer: Trainer, name: string): number[] => {
  const index = trainer.trainable.parameters.findIndex((parameter) => parameter.name === name);
  return [...(trainer.store.views('parameters')[index] ?? [])];
};

/** Columns of [784, 32] that are all zero. */
function deadColumns(weights: readonly number[]): number[] {
  return Array.from({ length: 32 }, (_, column) => column).filter((column) =>
    weights.every((weight, index) => index % 32 !== column || weight === 0),
  );
}

describe('channels', () => {
  it.each(['admm', 'magnitude'] as const)('by %s: whole columns go, their biases too, and none comes back', (method) =>
    withTrainer(mlp(), 'channel', async (trainer) => {
      const run = method === 'admm' ? admm : magnitude;
      const report = await run(trainer, batches, { ratio: 0.5, ...(method === 'admm' ? quick : { retrainEpochs: 2 }) });
      const dead = deadColumns(viewOf(trainer, 'fc1.weight'));
      expect(dead).toHaveLength(16);
      const bias = viewOf(trainer, 'fc1.bias');
      expect(bias.flatMap((value, index) => (value === 0 ? [index] : []))).toEqual(dead);
      // The last layer makes the output: trained, but not pruned, and it decays as before.
      expect(report.tensors).toMatchObject([{ name: 'fc1.weight', kept: 784 * 16, sparsity: 0.5 }]);
      expect(viewOf(trainer, 'fc2.weight')).not.toContain(0);
      expect(report).toMatchObject({ granularity: 'channel', ratio: 0.5, sparsity: 0.5 });
      expect(trainer.trainable.grouping?.skipped.map(({ name }) => name)).toEqual(['fc2.weight']);
      expect(trainer.trainable.parameters.map(({ decay }) => decay)).toEqual([true, false, true, false]);
    }),
  );

  it('of a residual network: the streams stay coupled, and pruning the saved model finds them gone', async () => {
    const path = join(folder, 'resnet.onnx');
    await withTrainer(smallResNet(), 'channel', async (trainer) => {
      await trainer.store.project({ ratio: 0.5 });
      const mask = trainer.store.setMask('support');
      expect(trainer.store.revivedWeights()).toBe(0);
      expect(mask.common).toBeGreaterThan(0);
      const source = [imagesFor(trainer, 1), imagesFor(trainer, 2)];
      for await (const { loss } of trainer.fit(source, { epochs: 2 })) expect(loss).toBeGreaterThan(0);
      expect(trainer.store.revivedWeights()).toBe(0);
      await trainer.save(path);
    });
    const { prunable } = await inspect(path);
    const zeros = prunable.reduce((sum, tensor) => sum + tensor.zeros, 0);
    const again = await prune(path, { dryRun: true, granularity: 'channel', ratio: 0.5 });
    expect(again.removed).toBe(zeros);
    expect(again.tensors.map(({ sparsity }) => sparsity)).toEqual(
      prunable.filter(({ name }) => name !== 'fc.weight').map(({ sparsity }) => sparsity),
    );
  });
});

/** Eight images of [3, 32, 32] and their classes. */
function imagesFor(trainer: Trainer, seed: number): Feeds {
  const data = Float32Array.from({ length: 8 * 3 * 1024 }, (_, index) => Math.sin((index + 1) * seed * 12.9898));
  const labels = BigInt64Array.from({ length: 8 }, (_, index) => BigInt((index * seed) % 10));
  return { input: { data, dims: [8, 3, 32, 32] }, [trainer.trainable.target]: { data: labels, dims: [8] } };
}

/** Groups along the inputs of [inputs, columns]. */
function groupsOfFour(weights: readonly number[], columns: number): number[][] {
  const firsts = [...weights.keys()].filter((index) => Math.floor(index / columns) % 4 === 0);
  return firsts.map((first) => [0, 1, 2, 3].map((member) => weights[first + member * columns] ?? Number.NaN));
}

describe('n:m and blocks', () => {
  it('2:4 by ADMM: every group of the written file has two zeros, and the report its own ratio', () =>
    withTrainer(mlp(), '2:4', async (trainer) => {
      const path = join(folder, 'two-four.onnx');
      await expect(admm(trainer, batches, { ratio: 0.9, ...quick })).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining('Expected ratio to be 0.5 with granularity 2:4'),
      });
      const report = await admm(trainer, batches, { ratio: 0.5, ...quick });
      expect(report.sparsity).toBe(0.5);
      expect(report.history.prunings[0]?.overlap).toBeGreaterThan(0.5);
      await trainer.save(path);
      for (const [name, weights] of weightsOf(path)) {
        const columns = name === 'fc1.weight' ? 32 : 10;
        const zeros = groupsOfFour(weights, columns).map((group) => group.filter((weight) => weight === 0).length);
        expect(zeros).toHaveLength(weights.length / 4);
        expect(new Set(zeros)).toEqual(new Set([2]));
      }
    }));

  it('blocks by magnitude: whole ones go', () =>
    withTrainer(mlp(), 'block:8x16', async (trainer) => {
      const report = await magnitude(trainer, batches, { ratio: 0.75, retrainEpochs: 1 });
      expect(report.sparsity).toBeGreaterThan(0.74);
      expect(report.sparsity).toBeLessThanOrEqual(0.75);
      const weights = viewOf(trainer, 'fc1.weight'); // [784 inputs, 32 outputs]: 49 x 4 blocks
      const zeros = new Map<number, number>();
      for (const [index, weight] of weights.entries()) {
        const block = Math.floor(index / 32 / 16) * 4 + Math.floor((index % 32) / 8);
        zeros.set(block, (zeros.get(block) ?? 0) + (weight === 0 ? 1 : 0));
      }
      expect(new Set(zeros.values())).toEqual(new Set([0, 128]));
    }));
});

describe('a run that was interrupted', () => {
  it.each(['channel', '2:4'] as const)('by %s goes on with the bits of one that was not', async (granularity) => {
    const checkpoint = join(folder, `run-${granularity.replace(':', '-')}`);
    const run = (options: RunOptions & { stopAfter?: number }) => {
      const { stopAfter = Number.POSITIVE_INFINITY, ...rest } = options;
      const controller = new AbortController();
      let steps = 0;
      const onProgress = () => {
        steps += 1;
        if (steps === stopAfter) controller.abort();
      };
      return withTrainer(mlp(), granularity, async (trainer) => {
        const settings = { ratio: 0.5, ...quick, checkpoint, onProgress, signal: controller.signal, ...rest };
        const { history } = await admm(trainer, batches, settings);
        return { history, parameters: trainer.store.views('parameters').map((view) => [...view]) };
      });
    };
    const whole = await run({});
    // In the middle of the first iteration of ADMM, of the second, and of retraining.
    for (const stopAfter of [3, 8, 12]) {
      rmSync(checkpoint, { force: true });
      await expect(run({ stopAfter })).rejects.toMatchObject({ code: 'ABORTED' });
      expect(await run({ resume: true })).toEqual(whole);
    }
  });

  it('is refused at another granularity', async () => {
    const checkpoint = join(folder, 'other');
    const settings = { ratio: 0.5, ...quick, checkpoint };
    await withTrainer(mlp(), 'channel', (trainer) => admm(trainer, batches, settings));
    await withTrainer(mlp(), '2:4', async (trainer) => {
      await expect(admm(trainer, batches, { ...settings, resume: true })).rejects.toMatchObject({
        code: 'INVALID_OPTION',
      });
    });
  });
});

describe('a store', () => {
  const view = { batches: 1, outer: 1, rows: 4, inner: 6 };
  const sets = Int32Array.of(0, 1, 2, -1);
  const weight = { view, blockRows: 1, blockColumns: 6, sets, follows: false };
  const bias = { view: { ...view, inner: 1 }, blockRows: 1, blockColumns: 1, sets, follows: true };
  const grouping = { rule: 'whole' as const, keep: 0, tensors: [weight, bias] };

  function makeStore(): ParameterStore {
    const store = ParameterStore.create([
      { name: 'w', size: 24, prune: true },
      { name: 'other', size: 3 },
      { name: 'b', size: 4, follow: true },
    ]);
    for (const [t, values] of store.views('parameters').entries()) {
      for (const i of values.keys()) values[i] = 1 + t + (Math.floor(i / 6) % 4);
    }
    return store;
  }

  it('projects and masks by its grouping, in any thread, until it is taken away', async () => {
    const store = makeStore();
    store.setGrouping(grouping);
    const other = ParameterStore.open(store.id);
    expect(other.has('grouping')).toBe(true);
    // The smallest row may go, the next makes half; the last never goes.
    expect(await other.project({ ratio: 0.5 })).toMatchObject({
      removed: 12,
      weights: 24,
      removedByTensor: [12, 0, 2],
    });
    expect(store.has('support')).toBe(true);
    expect([...(store.supportViews()[2] ?? [])]).toEqual([0, 0, 1, 1]);
    expect(store.admmState).toMatchObject({ bySupport: true });
    expect(store.setMask('support').kept).toEqual([12, 3, 2]);
    expect((await store.setMaskByMagnitude({ ratio: 0.25 })).kept).toEqual([18, 3, 3]);
    store.setGrouping(undefined);
    expect(await store.project({ ratio: 0.5 })).toMatchObject({ removed: 12 });
    expect(store.has('support')).toBe(false);
    other.dispose();
    store.dispose();
  });

  it('refuses a grouping of other tensors, and ratios that cannot be', async () => {
    const store = makeStore();
    expect(() => store.setGrouping({ ...grouping, tensors: [weight] })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
    expect(store.has('grouping')).toBe(false);
    store.setGrouping(grouping);
    await expect(store.project({ ratio: 0.9 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(store.admmState).toBeUndefined();
    store.dispose();
  });
});
