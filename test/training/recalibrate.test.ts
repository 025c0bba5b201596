// Running statistics of BatchNormalization: recomputed from data, against sums over all elements; and as training, ADMM and
// retraining move them, against the recurrence that ONNX defines.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Feeds } from '../../src/data/feeds.js';
import { admm, evaluate, magnitude, recalibrateBatchNorm, Trainer, train } from '../../src/index.js';
import { float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { decodeElements } from '../../src/onnx/elements.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';
import { writeModel } from '../../src/onnx/write.js';
import { readWholeModel } from '../../src/training/model-file.js';
import { noise } from '../autodiff/support.js';
import { mlp, smallResNet } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'secateur-recalibrate-'));
afterAll(() => rmSync(folder, { recursive: true }));

const EPSILON = 0.01;

function values(model: ModelProto, name: string): number[] {
  const tensor = model.graph?.initializer.find((each) => each.name === name);
  return [...(decodeElements(tensor?.dataType ?? 0, tensor?.rawData ?? new Uint8Array()) ?? [])];
}

/** x [N, 2, 3], a normalisation, Tanh and Dropout, and a second one, over the same statistics or its own. */
function twoNorms({ shared }: { shared: boolean }): ModelProto {
  const g = GraphBuilder.create('norms');
  const x = g.input('x', 'float32', ['N', 2, 3]);
  const statistics = (name: string) => [
    g.initializer(`${name}.mean`, [2], Float32Array.of(Number.NaN, 5)),
    g.initializer(`${name}.variance`, [2], Float32Array.of(Number.POSITIVE_INFINITY, 7)),
  ];
  const first = statistics('first');
  const learned = [g.float32([1.5, -0.5]), g.float32([0.25, 0.5])];
  const norm = (value: string, own: string[]) =>
    g.op('BatchNormalization', [value, ...learned, ...own], { epsilon: float(EPSILON), momentum: float(0.5) });
  const hidden = g.op('Dropout', [g.op('Tanh', [norm(x, first)]), g.float32(0.5)]);
  g.output(norm(hidden, shared ? first : statistics('second')), 'float32', ['N', 2, 3]);
  return modelOf(g.graph, { opset: 15 });
}

function moments(list: readonly number[]): [mean: number, variance: number] {
  const mean = list.reduce((sum, value) => sum + value, 0) / list.length;
  return [mean, list.reduce((sum, value) => sum + (value - mean) ** 2, 0) / list.length];
}

/** What goes into both normalisations, a channel, over all batches. */
function inputsOf(batches: readonly Float32Array[], channel: number): [number[], number[]] {
  const ofChannel = (data: Float32Array) => [...data].filter((_, index) => Math.floor(index / 3) % 2 === channel);
  const [scale, bias] = channel === 0 ? [1.5, 0.25] : [-0.5, 0.5];
  const second = batches.flatMap((data) => {
    const own = ofChannel(data);
    const [mean, variance] = moments(own);
    return own.map((value) => Math.tanh((scale * (value - mean)) / Math.sqrt(variance + EPSILON) + bias));
  });
  return [batches.flatMap(ofChannel), second];
}

/** Batches of different sizes, whose mean is far from zero. */
const data = [8, 3, 5].map((size, index) => noise(size * 6, index + 1).map((value) => 100 + 3 * index + value));
const feeds = data.map((x): Feeds => ({ x: { data: x, dims: [x.length / 6, 2, 3] } }));

describe('recalibrateBatchNorm', () => {
  it.each([false, true])('pools all elements of all batches; shared statistics: %s', async (shared) => {
    const model = twoNorms({ shared });
    const { model: result, ...counts } = await recalibrateBatchNorm(model, feeds);
    expect(counts).toEqual({ nodes: 2, batches: 3, samples: 16 });
    for (const channel of [0, 1]) {
      const [first, second] = inputsOf(data, channel);
      const wanted = shared ? [[...first, ...second]] : [first, second];
      for (const [index, list] of wanted.entries()) {
        const name = index === 0 ? 'first' : 'second';
        const [mean, variance] = moments(list);
        expect(values(result, `${name}.mean`)[channel]).toBeCloseTo(mean, 3);
        expect((values(result, `${name}.variance`)[channel] ?? 0) / variance).toBeCloseTo(1, 3);
      }
    }
    expect(values(model, 'first.mean')).toEqual([Number.NaN, 5]);
    expect(result.graph?.node).toEqual(model.graph?.node);
    expect(result.graph?.initializer.map(({ name }) => name)).toEqual(model.graph?.initializer.map(({ name }) => name));
  });

  it('takes as many batches as asked for, from a function too, leaves labels out, and writes a file', async () => {
    const input = join(folder, 'norms.onnx');
    await writeModel(input, twoNorms({ shared: false }));
    const labelled = feeds.map((each) => ({ ...each, labels: { data: BigInt64Array.of(1n), dims: [1] } }));
    const done: number[][] = [];
    const options = { batches: 2, output: input, threads: 1, onProgress: (...each: number[]) => done.push(each) };
    const { samples } = await recalibrateBatchNorm(input, () => labelled, options);
    expect([samples, done]).toEqual([
      11,
      [
        [1, 2],
        [2, 2],
      ],
    ]);
    const [mean] = moments(inputsOf(data.slice(0, 2), 1)[0]);
    expect(values(readWholeModel(input), 'first.mean')[1]).toBeCloseTo(mean, 3);
  });

  it('refuses models without statistics, no data, and wrong options, and heeds the signal', async () => {
    await expect(recalibrateBatchNorm(mlp(), [])).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    const model = twoNorms({ shared: false });
    await expect(recalibrateBatchNorm(model, [])).rejects.toMatchObject({ code: 'INVALID_DATA' });
    await expect(recalibrateBatchNorm(model, feeds, { batches: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const wrong: Feeds[] = [{ y: { data: Float32Array.of(1), dims: [1] } }];
    await expect(recalibrateBatchNorm(model, wrong)).rejects.toThrow('to feed the input x, but it is missing');
    const output = join(folder, 'aborted.onnx');
    const signal = AbortSignal.abort();
    await expect(recalibrateBatchNorm(model, feeds, { signal, output })).rejects.toMatchObject({ code: 'ABORTED' });
    expect(() => readFileSync(output)).toThrow('ENOENT');
  });
});

describe('running statistics of a residual network', { timeout: 120_000 }, () => {
  const labelled = [5, 4, 6].map((size, index): Feeds => {
    const pixels = noise(size * 3072, 10 + index).map((value) => 2 * value + 0.5);
    const labels = BigInt64Array.from({ length: size }, (_, at) => BigInt((at + index) % 10));
    return { input: { data: pixels, dims: [size, 3, 32, 32] }, labels: { data: labels, dims: [size] } };
  });
  const still = { type: 'constant', learningRate: 0 } as const;
  const sgd = { type: 'sgd', learningRate: 0.1 } as const;

  /** One epoch of the recurrence, whose batch statistics come from models in which nothing moves. */
  async function epoch(model: ModelProto, running: Map<string, number[]>): Promise<void> {
    for (const feed of labelled) {
      const { model: batch } = await recalibrateBatchNorm(model, [feed], { threads: 1 });
      for (const [name, old] of running) {
        const now = values(batch, name);
        running.set(
          name,
          old.map((value, channel) => 0.9 * value + 0.1 * (now[channel] ?? 0)),
        );
      }
    }
  }

  function initial(model: ModelProto): Map<string, number[]> {
    const names = model.graph?.initializer.map(({ name }) => name) ?? [];
    const statistics = names.filter((name) => /norm\.(mean|variance)$/.test(name));
    return new Map(statistics.map((name) => [name, values(model, name)]));
  }

  function expectStatistics(trainer: Trainer, running: ReadonlyMap<string, number[]>): void {
    expect(running.size).toBeGreaterThan(10);
    for (const [name, wanted] of running) {
      const got = values(trainer.model, name);
      const scale = Math.max(1, ...wanted.map(Math.abs));
      for (const [channel, value] of wanted.entries())
        expect(Math.abs((got[channel] ?? Number.NaN) - value)).toBeLessThan(2e-5 * scale);
    }
  }

  it('follow the recurrence through ADMM, the pruning and masked retraining', async () => {
    const trainer = await Trainer.create(smallResNet(), { threads: 1, optimizer: sgd });
    try {
      const dense = smallResNet();
      const running = initial(dense);
      await epoch(dense, running);
      await epoch(dense, running);
      const common = { ratio: 0.6, learningRate: still, retrainLearningRate: still };
      await admm(trainer, labelled, { ...common, iterations: 2, retrainEpochs: 1 });
      const weights = values(trainer.model, 'stage1.block1.conv1.weight');
      expect(weights.filter((weight) => weight === 0).length).toBeGreaterThan(0);
      await epoch(trainer.model, running); // of the pruned weights, whatever the statistics
      expectStatistics(trainer, running);
      await train(trainer, labelled, { epochs: 1, learningRate: still, keepZeros: true });
      await epoch(trainer.model, running);
      expectStatistics(trainer, running);
    } finally {
      await trainer.close();
    }
  });

  it('are put right by recalibration after a one-shot pruning', async () => {
    const trainer = await Trainer.create(smallResNet(), { threads: 1, optimizer: { ...sgd, learningRate: 0.02 } });
    try {
      for await (const _ of trainer.fit(labelled, { epochs: 20 }));
      await magnitude(trainer, labelled, { ratio: 0.5, retrainEpochs: 0 });
      const stale = (await evaluate(trainer.model, labelled, { threads: 1 })).loss;
      const { model, samples } = await recalibrateBatchNorm(trainer.model, labelled, { threads: 1 });
      const fresh = (await evaluate(model, labelled, { threads: 1 })).loss;
      expect(samples).toBe(15);
      expect(fresh).toBeLessThan(stale);
    } finally {
      await trainer.close();
    }
  });
});
