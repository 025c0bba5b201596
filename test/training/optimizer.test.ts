// Optimizers and parameter stores through the addon: agreement with plain loops, sharing with workers, disposal, and
// what is refused. The native tests cover the arithmetic of every option.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import loader from '../../src/native/load.cjs';
import { Optimizer, type OptimizerOptions, type StepInput } from '../../src/training/optimizer.js';
import { ParameterStore } from '../../src/training/parameter-store.js';

const stores: ParameterStore[] = [];

function makeStore(sizes = [300, 20]): ParameterStore {
  const tensors = sizes.map((size, t) => ({ name: `t${t}`, size, prune: t === 0 }));
  const store = ParameterStore.create(tensors);
  stores.push(store);
  fill(store, 'parameters', 1);
  fill(store, 'gradients', 2);
  return store;
}

function fill(store: ParameterStore, slot: 'parameters' | 'gradients', seed: number): void {
  for (const view of store.views(slot)) {
    for (const i of view.keys()) view[i] = Math.sin(seed * 12.9898 + i * 78.233);
  }
}

const first = (views: Float32Array[]): Float32Array => views[0] ?? new Float32Array();
const zeros = (values: Float32Array): number => values.filter((value) => value === 0).length;

function failure(code: string, option?: string): unknown {
  const fields = option === undefined ? {} : { fields: expect.objectContaining({ option }) };
  return expect.objectContaining({ name: 'SecateurError', code, ...fields });
}

afterEach(() => {
  for (const store of stores.splice(0)) store.dispose();
});

describe('Optimizer', () => {
  it('takes the steps of AdamW as a plain loop does', async () => {
    const store = makeStore();
    const optimizer = new Optimizer(store, { type: 'adamw', learningRate: 0.01, weightDecay: 0.1 });
    const w = Array.from(first(store.views('parameters')));
    const g = first(store.views('gradients'));
    const m = w.map(() => 0);
    const v = w.map(() => 0);
    for (let t = 1; t <= 6; t += 1) {
      if (t % 2 === 0) optimizer.step();
      else await optimizer.stepAsync();
      for (const [i, x] of g.entries()) {
        m[i] = 0.9 * (m[i] ?? 0) + 0.1 * x;
        v[i] = 0.999 * (v[i] ?? 0) + 0.001 * x * x;
        const update = m[i] / (1 - 0.9 ** t) / (Math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-8);
        w[i] = (w[i] ?? 0) * (1 - 0.01 * 0.1) - 0.01 * update;
      }
    }
    expect(optimizer.steps).toBe(6);
    const after = first(store.views('parameters'));
    for (const [i, value] of w.entries()) expect(after[i]).toBeCloseTo(value, 5);
  });

  it('follows its schedule and counts from where it resumes', () => {
    const store = makeStore();
    const optimizer = new Optimizer(store, {
      type: 'sgd',
      learningRate: { type: 'step', learningRate: 1, milestones: [1, 7], factor: 0.5 },
    });
    expect([optimizer.step().learningRate, optimizer.step().learningRate]).toEqual([1, 0.5]);
    optimizer.steps = 7;
    expect(optimizer.step().learningRate).toBe(0.25);
    expect(optimizer.step({ learningRate: 0.125 }).learningRate).toBe(0.125);
    expect(new Optimizer(store, { type: 'sgd', learningRate: (step) => step + 3 }).step().learningRate).toBe(3);
  });

  it('clips by the norm over all tensors, and takes no step when that is not finite', () => {
    const store = makeStore([9, 16]);
    for (const view of store.views('gradients')) view.fill(2);
    for (const view of store.views('parameters')) view.fill(0);
    const optimizer = new Optimizer(store, { type: 'sgd', learningRate: 1, maxGradientNorm: 5 });
    expect(optimizer.step()).toEqual({ gradientNorm: 10, applied: true, learningRate: 1 });
    expect(first(store.views('parameters'))[0]).toBeCloseTo(-1, 5);
    first(store.views('gradients'))[3] = Number.NaN;
    expect(optimizer.step().applied).toBe(false);
    expect(optimizer.steps).toBe(1);
    expect(first(store.views('parameters'))[0]).toBeCloseTo(-1, 5);
  });

  it.each<[string, object]>([
    ['type', { type: 'rmsprop', learningRate: 1 }],
    ['learningRate', { type: 'sgd', learningRate: -1 }],
    ['schedule', { type: 'sgd' }],
    ['momentum', { type: 'sgd', learningRate: 1, momentum: 1 }],
    ['nesterov', { type: 'sgd', learningRate: 1, nesterov: true }],
    ['beta1', { type: 'sgd', learningRate: 1, beta1: 0.9 }],
    ['beta2', { type: 'adam', learningRate: 1, beta2: 2 }],
    ['form', { type: 'adam', learningRate: 1, form: 'tf' }],
    ['weightDecay', { type: 'adamw', learningRate: 1, weightDecay: Number.POSITIVE_INFINITY }],
    ['maxGradientNorm', { type: 'adam', learningRate: 1, maxGradientNorm: '1' }],
    ['threads', { type: 'adam', learningRate: 1, threads: 1.5 }],
  ])('refuses a bad %s: %j', (option, options) => {
    expect(() => new Optimizer(makeStore(), options as OptimizerOptions)).toThrow(failure('INVALID_OPTION', option));
  });

  it('refuses a pull before the first projection, and unknown inputs', () => {
    const optimizer = new Optimizer(makeStore(), { type: 'sgd', learningRate: 0.1 });
    expect(() => optimizer.step({ rho: 0.1 })).toThrow(failure('INVALID_OPTION'));
    expect(() => optimizer.step({ roh: 0.1 } as StepInput)).toThrow(failure('INVALID_OPTION', 'roh'));
    expect(optimizer.steps).toBe(0);
  });
});

describe('ADMM and masks', () => {
  it('projects exactly, pulls, and freezes a mask under which nothing comes back', async () => {
    const store = makeStore([5000, 11]);
    const optimizer = new Optimizer(store, { type: 'adam', learningRate: 0.01 });
    optimizer.step();
    const project = { ratio: 0.9 };
    expect(await store.project(project)).toMatchObject({ weights: 5000, removed: 4500, changed: 4500 });
    for (let i = 0; i < 10; i += 1) optimizer.step({ rho: 0.5 });
    const { gap, moved, removedByTensor } = await store.project(project);
    expect(gap).toBeGreaterThan(0);
    expect(moved).toBeGreaterThan(0);
    expect(removedByTensor).toEqual([4500, 0]);
    const magnitude = await store.setMaskByMagnitude(project);
    const support = store.setMask('support');
    expect(magnitude.kept).toEqual([500, 11]);
    expect(support.kept).toEqual([500, 11]);
    expect(support.common).toBeLessThanOrEqual(500);
    for (let i = 0; i < 10; i += 1) {
      fill(store, 'gradients', 30 + i);
      optimizer.step();
      expect(store.revivedWeights()).toBe(0);
    }
    expect(zeros(first(store.views('parameters')))).toBeGreaterThanOrEqual(4500);
    expect(zeros(first(store.views('firstMoment')))).toBeGreaterThanOrEqual(4500);
    expect(store.maskViews()[0]?.reduce((sum, keep) => sum + keep, 0)).toBe(500);
    store.clearMask();
    expect(store.has('mask')).toBe(false);
  });

  it('resumes ADMM from its state with the same bits', async () => {
    const [one, two] = [makeStore(), makeStore()];
    const steps = async (store: ParameterStore, from: number, to: number) => {
      const optimizer = new Optimizer(store, { type: 'sgd', learningRate: 0.01 });
      optimizer.steps = from;
      for (let step = from; step < to; step += 1) {
        if (step % 3 === 0) await store.project({ ratio: 0.5 });
        fill(store, 'gradients', step);
        optimizer.step({ rho: step < 2 ? 0.5 : 0.1 });
      }
    };
    await steps(one, 0, 8);
    await steps(two, 0, 4);
    const three = makeStore();
    for (const slot of ['parameters', 'admm'] as const) first(three.views(slot)).set(first(two.views(slot)));
    three.views('parameters')[1]?.set(two.views('parameters')[1] ?? []);
    three.admmState = JSON.parse(JSON.stringify(two.admmState));
    await steps(three, 4, 8);
    expect(three.views('parameters')).toEqual(one.views('parameters'));
    expect(three.admmState).toEqual(one.admmState);
  });

  it('names the tensor and index of a weight that is not finite', async () => {
    const store = makeStore();
    first(store.views('parameters'))[17] = Number.NaN;
    await expect(store.project({ ratio: 0.5 })).rejects.toMatchObject({
      code: 'NONFINITE_WEIGHT',
      fields: { tensor: 't0', index: 17 },
    });
    expect(store.admmState).toBeUndefined();
    expect(() => store.setMask('support')).toThrow(failure('INVALID_OPTION'));
  });

  it('averages parameters', () => {
    const store = makeStore();
    store.updateAverage(0.75);
    expect(store.views('average')).toEqual(store.views('parameters'));
    first(store.views('parameters')).fill(4);
    first(store.views('average')).fill(8);
    store.updateAverage(0.75);
    expect(first(store.views('average'))[5]).toBe(7);
  });
});

const WORKER = `
const { parentPort, workerData } = require('node:worker_threads');
const addon = require(workerData.path);
const store = addon.openStore(workerData.id);
const [weights] = addon.storeViews(store, 'parameters');
parentPort.postMessage({ before: weights[0], length: weights.length });
weights[1] = 42;
parentPort.once('message', () => process.exit());
`;

describe('ParameterStore', () => {
  it('shares memory with a worker and outlives it', async () => {
    const store = makeStore();
    const weights = first(store.views('parameters'));
    weights[0] = 7;
    const workerData = { id: store.id, path: loader.addonPath() };
    for (let round = 0; round < 2; round += 1) {
      const worker = new Worker(WORKER, { eval: true, workerData });
      const [message] = await once(worker, 'message');
      expect(message).toEqual({ before: 7, length: 300 });
      worker.postMessage('end');
      await once(worker, 'exit');
      expect(weights[1]).toBe(42);
      weights[1] = 0;
    }
  });

  it('detaches its own views when disposed of, and lets others live', () => {
    const store = ParameterStore.create([{ name: 'a', size: 5 }]);
    const other = ParameterStore.open(store.id);
    const mine = first(store.views('parameters'));
    const theirs = first(other.views('parameters'));
    const id = store.id;
    store.dispose();
    store.dispose();
    expect(mine.length).toBe(0);
    expect(() => store.views('parameters')).toThrow(failure('INVALID_OPTION'));
    theirs[4] = 3;
    expect(first(ParameterStore.open(id).views('parameters'))[4]).toBe(3);
    other.dispose();
  });

  it('gives each tensor its own view of one buffer, empty ones too', () => {
    const store = makeStore([3, 0, 17]);
    const views = store.views('gradients');
    expect(views.map((view) => view.length)).toEqual([3, 0, 17]);
    expect(new Set(views.map((view) => view.buffer)).size).toBe(1);
    expect(store.views('gradients')[0]?.buffer).toBe(views[0]?.buffer);
    expect(ParameterStore.create([]).views('parameters')).toEqual([]);
    expect(store.has('secondMoment')).toBe(false);
  });

  it('refuses bad sizes, unknown options, and ids of nothing', async () => {
    expect(() => ParameterStore.create([{ name: 'a', size: -1 }])).toThrow(failure('INVALID_OPTION'));
    expect(() => ParameterStore.create([{ name: 'a', size: 1.5 }])).toThrow(failure('INVALID_OPTION'));
    expect(() => ParameterStore.create([{ name: 'a', size: 2 ** 52 }])).toThrow(failure('INVALID_OPTION'));
    expect(() => ParameterStore.open(2 ** 40)).toThrow(failure('INVALID_OPTION'));
    await expect(makeStore().project({ ratio: 1 })).rejects.toEqual(failure('INVALID_OPTION', 'ratio'));
    await expect(makeStore().setMaskByMagnitude({ ratio: -1 })).rejects.toEqual(failure('INVALID_OPTION', 'ratio'));
  });
});
