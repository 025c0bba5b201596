// Sweeps of a small network on drawn digits: counts, measures, folders that are found again, and what they refuse.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluate, inspect, mainMetric, prune, type SweepOptions, sweep, Trainer } from '../../src/index.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';
import { writeModel } from '../../src/onnx/write.js';
import { digits, mlp } from '../training/support.js';

const WEIGHTS = 784 * 16 + 16 * 10;
const folder = mkdtempSync(join(tmpdir(), 'secateur-sweep-'));
const path = join(folder, 'mlp.onnx');
const test = digits('test', 200);
const measure = async (model: ModelProto | string) => ({
  accuracy: (await evaluate(model, test, { threads: 1 })).accuracy ?? Number.NaN,
});

beforeAll(async () => {
  const trainer = await Trainer.create(mlp({ hidden: 16 }), {
    threads: 1,
    optimizer: { type: 'adamw', learningRate: 4e-3 },
  });
  for await (const _ of trainer.fit(digits('train', 512), { epochs: 6 }));
  await trainer.save(path);
  await trainer.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('without an evaluator', () => {
  it('counts what every layer keeps, as prune does', async () => {
    const report = await sweep(path, { ratios: [0, 0.5, 0.9], scopes: ['global', 'layer'] });
    expect(report).toMatchObject({ name: 'mlp', weights: WEIGHTS, dense: { metrics: null } });
    expect(report.layers.map(({ name, weights }) => [name, weights])).toEqual([
      ['fc1.weight', 784 * 16],
      ['fc2.weight', 160],
    ]);
    expect(report.points.map(({ scope, ratio }) => [scope, ratio])).toEqual([
      ['global', 0],
      ['global', 0.5],
      ['global', 0.9],
      ['layer', 0],
      ['layer', 0.5],
      ['layer', 0.9],
    ]);
    for (const { scope, ratio, kept, layers, metrics, threshold } of report.points) {
      const pruned = await prune(path, { dryRun: true, ratio, scope });
      expect(layers).toEqual(pruned.tensors.map((tensor) => Math.round(tensor.weights * (1 - tensor.sparsity))));
      expect({ kept, metrics, threshold }).toEqual({
        kept: layers.reduce((sum, count) => sum + count, 0),
        metrics: null,
        threshold: pruned.threshold,
      });
    }
  });

  it('keeps zeros that were there before', async () => {
    const sparse = join(folder, 'sparse.onnx');
    await prune(path, { output: sparse, ratio: 0.8 });
    const { points, layers } = await sweep(sparse, { ratios: [0.2, 0.9] });
    expect(points.map(({ kept }) => kept)).toEqual([0.8, 0.9].map((ratio) => WEIGHTS - Math.round(ratio * WEIGHTS)));
    expect(layers.reduce((sum, { kept }) => sum + kept, 0)).toBe(points[0]?.kept);
  });
});

describe('one-shot', () => {
  it('measures what the pruned file measures', async () => {
    const report = await sweep(path, { ratios: [0.5, 0.95], scopes: ['global', 'layer'], evaluate: measure });
    expect(report.dense.metrics).toEqual(await measure(path));
    expect(report.dense.metrics?.['accuracy']).toBeGreaterThan(0.5);
    const output = join(folder, 'pruned.onnx');
    const accuracies: number[] = [];
    for (const { ratio, scope, metrics } of report.points) {
      await prune(path, { output, ratio, scope });
      expect(metrics).toEqual(await measure(output));
      accuracies.push(metrics?.['accuracy'] ?? Number.NaN);
    }
    expect(new Set(accuracies).size).toBeGreaterThan(1);
  });

  it('takes any measures, the first of which counts', async () => {
    let calls = 0;
    const report = await sweep(path, { ratios: [0.5], evaluate: async () => ({ ap50: ++calls / 10, ap: 0.1 }) });
    expect(report.dense.metrics).toEqual({ ap50: 0.1, ap: 0.1 });
    expect(report.points[0]?.metrics).toEqual({ ap50: 0.2, ap: 0.1 });
    expect(mainMetric(report)).toBe('ap50');
  });
});

describe('a folder', () => {
  const counted = () => {
    let calls = 0;
    const evaluated = async (model: ModelProto) => {
      calls += 1;
      return await measure(model);
    };
    return { evaluate: evaluated, calls: () => calls };
  };

  it('goes on after an interrupt, and grows by ratios', async () => {
    const kept = join(folder, 'kept');
    const controller = new AbortController();
    const first = counted();
    const base: SweepOptions = { ratios: [0.5, 0.7, 0.9], evaluate: first.evaluate, folder: kept };
    const interrupted = sweep(path, {
      ...base,
      signal: controller.signal,
      onPoint: ({ ratio }) => ratio === 0.7 && controller.abort(),
    });
    await expect(interrupted).rejects.toMatchObject({ code: 'ABORTED' });
    expect(first.calls()).toBe(3);
    const second = counted();
    const hows: string[] = [];
    const options = { ...base, ratios: [0.5, 0.7, 0.8, 0.9], evaluate: second.evaluate, keepModels: true };
    const report = await sweep(path, { ...options, onPoint: ({ ratio }, how) => hows.push(`${ratio} ${how}`) });
    expect(hows).toEqual(['0.5 found', '0.7 found', '0.8 made', '0.9 made']);
    expect(second.calls()).toBe(2);
    const whole = await sweep(path, { ...options, folder: join(folder, 'whole'), evaluate: measure });
    const untimed = ({ points, ...rest }: typeof report) => ({
      ...rest,
      points: points.map(({ seconds: _, ...point }) => point),
    });
    expect(untimed(report)).toEqual(untimed(whole));
    const { prunable } = await inspect(join(kept, 'magnitude-global-one-shot-0.9.onnx'));
    expect(prunable.reduce((sum, { zeros }) => sum + zeros, 0)).toBe(Math.round(0.9 * WEIGHTS));
  });

  it('refuses points that were made with other options, all of them named, before any work', async () => {
    const kept = join(folder, 'other');
    const settings = { data: 'digits' };
    await sweep(path, { ratios: [0.5], evaluate: measure, folder: kept, settings });
    const same = { ...settings, size: null };
    expect((await sweep(path, { ratios: [0.5], evaluate: measure, folder: kept, settings: same })).points).toHaveLength(
      1,
    );
    const before = readdirSync(kept);
    const asked = counted();
    const other: SweepOptions = { ratios: [0.4, 0.5], evaluate: asked.evaluate, folder: kept };
    await expect(sweep(path, { ...other, minKeep: 0.1, settings: { data: 'mnist' } })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(/minKeep 0, not 0.1; data "digits", not "mnist"; give those, or another folder/),
    });
    const sparse = join(folder, 'another.onnx');
    await prune(path, { output: sparse, ratio: 0.1 });
    await expect(sweep(sparse, { ...other, settings })).rejects.toThrow(/other ones: model "/);
    expect([asked.calls(), readdirSync(kept)]).toEqual([0, before]);
    writeFileSync(join(kept, 'magnitude-global-one-shot-0.5.json'), '{"settings": ');
    await expect(sweep(path, { ...other, settings })).rejects.toMatchObject({ code: 'INVALID_DATA' });
  });
});

describe('training', { timeout: 120_000 }, () => {
  const training = () => ({
    open: async (model: string) => ({
      trainer: await Trainer.create(model, { threads: 1 }),
      source: digits('train', 256),
    }),
    admm: { iterations: 2 },
  });

  it('compares one-shot, retrained and ADMM points, and resumes one from its checkpoint', async () => {
    const options = (): SweepOptions => ({
      ...{ ratios: [0.95], methods: ['magnitude', 'admm'], retrainEpochs: [0, 2], evaluate: measure },
      training: { ...training(), sameEpochs: true },
    });
    const whole = await sweep(path, options());
    expect(whole.points.map(({ method, retrainEpochs, epochs }) => [method, retrainEpochs, epochs])).toEqual([
      ['magnitude', 0, 0],
      ['admm', 0, 2],
      ['magnitude', 2, 4],
      ['admm', 2, 4],
    ]);
    for (const { kept } of whole.points) expect(kept).toBe(WEIGHTS - Math.round(0.95 * WEIGHTS));
    const [oneShot, , retrained, admm] = whole.points.map(({ metrics }) => metrics?.['accuracy'] ?? Number.NaN);
    expect(retrained).toBeGreaterThan(oneShot as number);
    expect(admm).toBeGreaterThan(oneShot as number);

    const kept = join(folder, 'trained');
    const controller = new AbortController();
    const interrupted = sweep(path, {
      ...options(),
      folder: kept,
      signal: controller.signal,
      onProgress: ({ place, phase }) => place?.method === 'admm' && phase === 'retrain' && controller.abort(),
    });
    await expect(interrupted).rejects.toMatchObject({ code: 'ABORTED' });
    expect(readdirSync(kept)).toContain('admm-global-2-epochs-0.95.checkpoint');
    const resumed = await sweep(path, { ...options(), folder: kept });
    expect(resumed.points.map(({ metrics, layers }) => [metrics, layers])).toEqual(
      whole.points.map(({ metrics, layers }) => [metrics, layers]),
    );
    expect(readdirSync(kept).filter((name) => name.includes('checkpoint'))).toEqual([]);
    const stored = JSON.parse(readFileSync(join(kept, 'admm-global-2-epochs-0.95.json'), 'utf8'));
    expect(stored.settings).toMatchObject({ minKeep: 0, admm: { iterations: 2 }, sameEpochs: true });
  });

  it('retrains layer by layer', async () => {
    const options: SweepOptions = { ratios: [0.9], scopes: ['layer'], retrainEpochs: [1], evaluate: measure };
    const { points } = await sweep(path, { ...options, training: training() });
    expect(points[0]?.layers).toEqual([784 * 16 - Math.round(0.9 * 784 * 16), 16]);
  });
});

it('refuses what means nothing', async () => {
  const refused = (options: object) =>
    sweep(path, options as SweepOptions).then(
      () => 'nothing',
      (error) => error.message,
    );
  expect(await refused({ ratios: [] })).toBe('Expected ratios to be a list of one or more, got ');
  expect(await refused({ ratios: [1] })).toBe('Expected ratios to be a number in [0, 1), got 1');
  expect(await refused({ ratios: [0.5, 0.5] })).toBe('Expected ratios to be a list without repeats, got "0.5, 0.5"');
  expect(await refused({ ratios: [0.5], scopes: ['all'] })).toMatch('Expected scopes to be "global" or "layer"');
  expect(await refused({ ratios: [0.5], metods: [] })).toMatch('Unknown option "metods"; did you mean');
  expect(await refused({ ratios: [0.5], methods: ['admm'] })).toMatch('Expected training and evaluate with admm');
  expect(await refused({ ratios: [0.5], keepModels: true })).toMatch('Expected keepModels to be used with folder');
});

it('leaves the model as it is', async () => {
  const copy = mlp({ hidden: 16 });
  const other = join(folder, 'copy.onnx');
  await writeModel(other, copy);
  const before = readFileSync(other);
  await sweep(other, { ratios: [0.5], evaluate: measure });
  expect(readFileSync(other)).toEqual(before);
});
