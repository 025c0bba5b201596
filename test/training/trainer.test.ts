// The trainer: its steps against steps worked by hand, its determinism, its evaluation, and what it refuses.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Feeds } from '../../src/data/feeds.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { readModel } from '../../src/onnx/load.js';
import { readTensor } from '../../src/onnx/payload.js';
import type { BatchSource } from '../../src/training/batch-source.js';
import { evaluate } from '../../src/training/evaluate.js';
import { type FitOptions, Trainer, type TrainerOptions } from '../../src/training/trainer.js';
import { digits, linear, mlp, smallResNet } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'secateur-trainer-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function losses(trainer: Trainer, source: BatchSource, options?: FitOptions): Promise<number[]> {
  const all: number[] = [];
  for await (const { loss } of trainer.fit(source, options)) all.push(loss);
  return all;
}

async function withTrainer<T>(
  model: Parameters<typeof Trainer.create>[0],
  options: TrainerOptions,
  use: (trainer: Trainer) => Promise<T>,
): Promise<T> {
  const trainer = await Trainer.create(model, { threads: 1, ...options });
  try {
    return await use(trainer);
  } finally {
    await trainer.close();
  }
}

const sgd = (learningRate: number) => ({ type: 'sgd', learningRate }) as const;

/** x = [[1, 2], [3, 4]], t = [[1], [2]]: with w = [1, -1] the errors are -2 and -3. */
const worked: Feeds = {
  x: { data: Float32Array.of(1, 2, 3, 4), dims: [2, 2] },
  target: { data: Float32Array.of(1, 2), dims: [2, 1] },
};

describe('a step', () => {
  it('is the one worked by hand', async () => {
    await withTrainer(linear([1, -1]), { loss: 'mse', optimizer: sgd(0.1) }, async (trainer) => {
      // loss = mean(e^2) = 6.5; dw = 2/N X^T e = [-11, -16]; w - 0.1 dw = [2.1, 0.6]
      expect(await losses(trainer, [worked])).toEqual([6.5]);
      const [w] = trainer.store.views('parameters');
      expect(w?.[0]).toBeCloseTo(2.1, 6);
      expect(w?.[1]).toBeCloseTo(0.6, 6);
    });
  });

  it('takes feeds of the user again in every epoch, and leaves them as they are', async () => {
    await withTrainer(linear([1, -1]), { loss: 'mse', optimizer: sgd(0.01) }, async (trainer) => {
      expect(await losses(trainer, [worked, worked], { epochs: 3 })).toHaveLength(6);
      expect(worked['x']?.data).toEqual(Float32Array.of(1, 2, 3, 4));
    });
  });

  it('adds up gradients over batches as one large batch would', async () => {
    const halves = [0, 1].map((row): Feeds => {
      const x = Float32Array.from(worked['x']?.data.slice(2 * row, 2 * row + 2) ?? [], Number);
      const target = Float32Array.of(Number(worked['target']?.data[row]));
      return { x: { data: x, dims: [1, 2] }, target: { data: target, dims: [1, 1] } };
    });
    const options = { loss: 'mse', optimizer: sgd(0.1), accumulate: 2 } as const;
    await withTrainer(linear([1, -1]), options, async (trainer) => {
      expect(await losses(trainer, halves, { epochs: 1 })).toEqual([6.5]);
      const [w] = trainer.store.views('parameters');
      expect(w?.[0]).toBeCloseTo(2.1, 6);
      expect(w?.[1]).toBeCloseTo(0.6, 6);
    });
  });
});

describe('training', () => {
  it('learns digits, has the same bits again, and saves what it evaluates', async () => {
    const once = () =>
      withTrainer(mlp(), { optimizer: { type: 'adam', learningRate: 3e-3 } }, async (trainer) => {
        const seen = await losses(trainer, digits('train', 640), {
          epochs: 3,
          learningRate: { type: 'cosine', learningRate: 3e-3 },
        });
        const result = await trainer.evaluate(digits('test', 256));
        await trainer.save(join(folder, 'mlp.onnx'));
        return { seen, result };
      });
    const first = await once();
    expect(await once()).toEqual(first);
    expect(first.seen).toHaveLength(60);
    expect(first.seen.at(-1)).toBeLessThan(0.5 * (first.seen[0] ?? 0));
    expect(first.result.task).toBe('classification');
    expect(first.result.samples).toBe(256);
    expect(first.result.accuracy).toBeGreaterThan(0.5);
    const again = await evaluate(join(folder, 'mlp.onnx'), digits('test', 256), { threads: 1 });
    expect(again.accuracy).toBe(first.result.accuracy);
    expect(again.loss).toBeCloseTo(first.result.loss, 5);
  });

  it('keeps running statistics, and evaluates with them', async () => {
    const random = Float32Array.from({ length: 8 * 3 * 32 * 32 }, (_, index) => Math.sin(index * 12.9898) * 2 + 1);
    const feeds: Feeds = {
      input: { data: random, dims: [8, 3, 32, 32] },
      labels: { data: BigInt64Array.from([0, 1, 2, 3, 4, 5, 6, 7].map(BigInt)), dims: [8] },
    };
    const model = smallResNet();
    await withTrainer(model, { optimizer: sgd(0.01) }, async (trainer) => {
      const { buffers } = trainer.trainable;
      expect(buffers.length).toBeGreaterThan(0);
      const before = trainer.buffers.views('parameters').map((view) => view.slice());
      const start = await trainer.evaluate([feeds]);
      const seen = await losses(trainer, [feeds], { epochs: 12 });
      const after = trainer.buffers.views('parameters');
      expect(after.every((view, index) => view.some((value, at) => value !== before[index]?.[at]))).toBe(true);
      expect(seen.at(-1)).toBeLessThan(seen[0] ?? 0);
      const end = await trainer.evaluate([feeds]);
      expect(end.loss).toBeLessThan(start.loss);
      await trainer.save(join(folder, 'resnet.onnx'));
      const saved = await evaluate(join(folder, 'resnet.onnx'), [feeds], { threads: 1 });
      expect(saved.loss).toBeCloseTo(end.loss, 4);
    });
  });

  it('keeps a moving average that can be saved', async () => {
    await withTrainer(linear([1, -1]), { loss: 'mse', optimizer: sgd(0.1), averageDecay: 0.5 }, async (trainer) => {
      await losses(trainer, [worked], { epochs: 1 });
      const one = trainer.store.views('parameters')[0]?.slice() ?? new Float32Array(0);
      await losses(trainer, [worked], { epochs: 1 });
      const two = trainer.store.views('parameters')[0] ?? new Float32Array(0);
      const path = join(folder, 'average.onnx');
      await trainer.save(path, { weights: 'average' });
      const loaded = readModel(path);
      const tensor = loaded.model.graph?.initializer.find(({ name }) => name === 'w');
      const bytes = tensor && readTensor(loaded, tensor).slice();
      const saved = new Float32Array(bytes?.buffer ?? new ArrayBuffer(0));
      for (const [index, value] of saved.entries()) {
        expect(value).toBeCloseTo(0.5 * (one[index] ?? 0) + 0.5 * (two[index] ?? 0), 5);
      }
      expect(saved).toHaveLength(2);
    });
  });
});

describe('refusals', () => {
  const bad = (code: string, message: RegExp) => ({ code, message: expect.stringMatching(message) });

  it.each([false, true])(
    'stops where the loss is not finite, at the step before, with lookahead: %s',
    async (lookahead) => {
      await withTrainer(linear([1, -1]), { loss: 'mse', optimizer: sgd(1e30) }, async (trainer) => {
        const good = { ...worked, x: { data: new Float32Array(4), dims: [2, 2] } };
        const epoch = [worked, worked, good, good];
        const failing = losses(trainer, epoch, { epochs: 9, lookahead });
        await expect(failing).rejects.toMatchObject(bad('DIVERGED', /at step \d/));
        const { steps } = trainer;
        expect(trainer.store.views('parameters')[0]?.every(Number.isFinite)).toBe(true);
        // It can go on, and what was refused was not taken.
        expect(await losses(trainer, [good])).toHaveLength(1);
        expect(trainer.steps).toBe(steps + 1);
      });
    },
  );

  it('has the same bits with and without lookahead', async () => {
    const run = (lookahead: boolean) =>
      withTrainer(mlp(), { accumulate: 2 }, async (trainer) => {
        const seen = await losses(trainer, digits('train', 160), { epochs: 2, lookahead });
        return { seen, parameters: trainer.store.views('parameters').map((view) => [...view]) };
      });
    expect(await run(true)).toEqual(await run(false));
  });

  it('names what is wrong with options', async () => {
    await expect(Trainer.create(mlp(), { lossOutput: 'nowhere' })).rejects.toMatchObject(
      bad('INVALID_OPTION', /one of the outputs "logits", got "nowhere"/),
    );
    await expect(Trainer.create(mlp(), { frozen: ['*'] })).rejects.toMatchObject(
      bad('INVALID_OPTION', /something to train/),
    );
    await expect(Trainer.create(mlp(), { trainable: ['fc3*'] })).rejects.toMatchObject({ code: 'UNKNOWN_TENSOR' });
    await expect(Trainer.create(mlp(), { lose: 'mse' } as TrainerOptions)).rejects.toMatchObject(
      bad('INVALID_OPTION', /did you mean/i),
    );
    await expect(Trainer.create(linear([1, 2]))).rejects.toMatchObject(bad('INVALID_OPTION', /logits of shape/));
  });

  it('names what is wrong with data', async () => {
    const image = { data: new Float32Array(784), dims: [1, 1, 28, 28] };
    const label = (value: bigint) => ({ data: BigInt64Array.of(value), dims: [1] });
    await withTrainer(mlp(), {}, async (trainer) => {
      const refused = (source: BatchSource) => expect(losses(trainer, source)).rejects;
      await refused([{ input: image, labels: label(10n) }]).toMatchObject(bad('INVALID_DATA', /\[0, 10\), got 10/));
      await refused([{ input: image }]).toMatchObject(bad('INVALID_DATA', /labels, but it is missing/));
      await refused([]).toMatchObject(bad('INVALID_DATA', /at least one batch/));
      const small = { data: new Float32Array(4), dims: [1, 1, 2, 2] };
      await refused([{ input: small, labels: label(1n) }]).toMatchObject(bad('INVALID_DATA', /shape \[N, 1, 28, 28\]/));
      const wrongType = { data: new Float64Array(784), dims: [1, 1, 28, 28] };
      await refused([{ input: wrongType, labels: label(1n) }]).toMatchObject(
        bad('INVALID_DATA', /float32, got float64/),
      );
    });
  });

  it.each([false, true])('ends with ABORTED between two steps, with lookahead: %s', async (lookahead) => {
    const controller = new AbortController();
    await withTrainer(linear([1, -1]), { loss: 'mse', optimizer: sgd(0.01) }, async (trainer) => {
      let steps = 0;
      const run = async () => {
        for await (const _ of trainer.fit([worked], { epochs: 100, lookahead, signal: controller.signal })) {
          steps += 1;
          if (steps === 3) controller.abort();
        }
      };
      await expect(run()).rejects.toMatchObject({ code: 'ABORTED' });
      // With lookahead the fourth was under way.
      expect(steps).toBe(lookahead ? 4 : 3);
      expect(trainer.steps).toBe(steps);
    });
  });
});

describe('what training leaves alone', () => {
  it('statistics and weights of frozen layers', async () => {
    const random = Float32Array.from({ length: 8 * 3 * 32 * 32 }, (_, index) => Math.sin(index * 12.9898));
    const feeds: Feeds = {
      input: { data: random, dims: [8, 3, 32, 32] },
      labels: { data: BigInt64Array.from([0, 1, 2, 3, 4, 5, 6, 7].map(BigInt)), dims: [8] },
    };
    await withTrainer(smallResNet(), { optimizer: sgd(0.01), frozen: ['stage1.*'] }, async (trainer) => {
      expect(trainer.trainable.buffers.length).toBeGreaterThan(0);
      for (const { name } of [...trainer.trainable.buffers, ...trainer.trainable.parameters]) {
        expect(name).not.toMatch(/^stage1\./);
      }
      expect(await losses(trainer, [feeds])).toHaveLength(1);
    });
  });

  it('a model in memory, also after the trainer is closed', async () => {
    const model = linear([1, -1]);
    await withTrainer(model, { loss: 'mse', optimizer: sgd(0.1) }, (trainer) => losses(trainer, [worked]));
    const bytes = model.graph?.initializer[0]?.rawData ?? new Uint8Array(0);
    expect(new Float32Array(bytes.slice().buffer)).toEqual(Float32Array.of(1, -1));
    const trainer = await Trainer.create(model, { loss: 'mse', threads: 1 });
    await trainer.close();
    await expect(trainer.save(join(folder, 'closed.onnx'))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('parameters, after a step that failed while the next was under way', async () => {
    await withTrainer(linear([1, -1]), { loss: 'mse', optimizer: sgd(0.1) }, async (trainer) => {
      const bad = { ...worked, x: { data: Float32Array.of(1e30, 1e30, 1e30, 1e30), dims: [2, 2] } };
      async function* source() {
        yield worked;
        yield bad;
        await new Promise((resolve) => setTimeout(resolve, 50));
        yield worked;
        yield worked;
      }
      const failing = losses(trainer, () => source(), { lookahead: true });
      await expect(failing).rejects.toMatchObject({ code: 'DIVERGED', fields: { index: 1 } });
      expect(trainer.steps).toBe(1);
      const [w] = trainer.store.views('parameters');
      expect(w?.[0]).toBeCloseTo(2.1, 6);
      expect(w?.[1]).toBeCloseTo(0.6, 6);
    });
  });
});

describe('losses and labels', () => {
  it('a loss as a graph of its own', async () => {
    // mean((y - t)^2), as mse is.
    const g = GraphBuilder.create('loss');
    const difference = g.op('Sub', [g.input('y', 'float32', ['N', 1]), g.input('truth', 'float32', ['N', 1])]);
    g.output(g.op('ReduceMean', [g.op('Mul', [difference, difference])], { keepdims: 0 }), 'float32', []);
    const loss = { type: 'graph', model: modelOf(g.graph, { opset: 17 }) } as const;
    const { x, target: truth } = worked as Required<typeof worked>;
    await withTrainer(linear([1, -1]), { loss, optimizer: sgd(0.1) }, async (trainer) => {
      expect(trainer.trainable.target).toBe('truth');
      expect(await losses(trainer, [{ x, truth } as Feeds])).toEqual([6.5]);
      expect(trainer.store.views('parameters')[0]?.[0]).toBeCloseTo(2.1, 6);
    });
  });

  it('ignored labels count nothing, and a batch of them alone is refused or left out', async () => {
    const image = (value: number) => ({ data: new Float32Array(2 * 784).fill(value), dims: [2, 1, 28, 28] });
    const labels = (...values: number[]) => ({ data: BigInt64Array.from(values.map(BigInt)), dims: [values.length] });
    const counted = { input: image(0.5), labels: labels(3, 4) };
    const ignored = { input: image(0.1), labels: labels(-100, -100) };
    await withTrainer(mlp(), {}, async (trainer) => {
      const alone = await trainer.evaluate([counted]);
      expect(await trainer.evaluate([counted, ignored])).toEqual({ ...alone, samples: 4 });
      await expect(losses(trainer, [ignored])).rejects.toMatchObject({ code: 'INVALID_DATA' });
      await expect(losses(trainer, [{ input: image(0), labels: labels(-100, 12) }])).rejects.toMatchObject({
        message: expect.stringContaining('got 12 for sample 1'),
      });
    });
  });

  it('feeds that are views of a larger array', async () => {
    const all = Float32Array.of(9, 9, 1, 2, 3, 4, 9, 9);
    const feeds = { ...worked, x: { data: all.subarray(2, 6), dims: [2, 2] } };
    await withTrainer(linear([1, -1]), { loss: 'mse', optimizer: sgd(0.1) }, async (trainer) => {
      expect(await losses(trainer, [feeds])).toEqual([6.5]);
    });
  });

  it('batches of unequal size weigh by their samples in the loss of a step', async () => {
    const one: Feeds = {
      x: { data: Float32Array.of(1, 2), dims: [1, 2] },
      target: { data: Float32Array.of(1), dims: [1, 1] },
    };
    await withTrainer(linear([1, -1]), { loss: 'mse', optimizer: sgd(0.1), accumulate: 2 }, async (trainer) => {
      expect((await losses(trainer, [worked, one]))[0]).toBeCloseTo((2 * 6.5 + 4) / 3, 6);
    });
  });
});
