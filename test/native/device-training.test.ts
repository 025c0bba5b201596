// Training with the optimizer on a GPU, the emulated one: to the bits of the CPU's, in every array that training has.
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEVICES } from '../../src/native/device.js';
import { Optimizer, type OptimizerOptions } from '../../src/training/optimizer.js';
import { ParameterStore } from '../../src/training/parameter-store.js';
import { Trainer } from '../../src/training/trainer.js';
import { temporaryFolder } from '../onnx/helpers.js';
import { digits, mlp } from '../training/support.js';
import { buildEmulatedGpu, hasTools, useEmulatedGpu } from './emulated-gpu.js';

const OPTIMIZERS: OptimizerOptions[] = [
  { type: 'sgd', learningRate: 0.05 },
  { type: 'sgd', learningRate: 0.05, momentum: 0.9, nesterov: true, weightDecay: 1e-3, maxGradientNorm: 1 },
  { type: 'adamw', learningRate: 1e-3 },
];
const SLOTS = ['parameters', 'firstMoment', 'secondMoment', 'admm', 'average'] as const;

/** ADMM and retraining under its mask, as the methods go about it; every array at the end, and the losses. */
async function trained(optimizer: OptimizerOptions) {
  const trainer = await Trainer.create(mlp({ hidden: 4 }), { optimizer, averageDecay: 0.9, threads: 1 });
  try {
    const { store } = trainer;
    const losses: number[] = [];
    const epoch = async (rho: number) => {
      for await (const { loss, gradientNorm } of trainer.fit(digits('train', 96), { rho }))
        losses.push(loss, gradientNorm);
    };
    await epoch(0);
    losses.push((await store.project({ ratio: 0.7 })).gap);
    await epoch(0.01);
    losses.push((await store.project({ ratio: 0.9 })).moved, (await trainer.evaluate(digits('test', 32))).loss);
    await epoch(0.02);
    losses.push(...store.setMask('support').kept);
    await epoch(0);
    expect(store.revivedWeights()).toBe(0);
    const arrays = SLOTS.map((slot) => (store.has(slot) ? store.views(slot).map((view) => view.slice()) : []));
    return { losses, arrays };
  } finally {
    await trainer.close();
  }
}

function makeStore(): ParameterStore {
  const store = ParameterStore.create([{ name: 'w', size: 100, prune: true }]);
  for (const slot of ['parameters', 'gradients'] as const) {
    for (const view of store.views(slot)) for (const i of view.keys()) view[i] = Math.sin(i * i + 1);
  }
  return store;
}

afterEach(() => vi.unstubAllEnvs());

describe.skipIf(!hasTools)('training on the emulated GPU', () => {
  beforeAll(buildEmulatedGpu, 600_000);

  it.each(OPTIMIZERS)(
    'has the bits of the CPU with %o',
    async (optimizer) => {
      useEmulatedGpu();
      const cpu = await trained({ ...optimizer, device: 'cpu' });
      expect(await trained({ ...optimizer, device: 'cuda' })).toEqual(cpu);
    },
    120_000,
  );

  it('is where the optimizer says, and comes back to the CPU with the next one', () => {
    useEmulatedGpu();
    const [there, here] = [makeStore(), makeStore()];
    const settings = { type: 'adamw', learningRate: 0.1 } as const;
    for (const store of [there, here]) {
      const first = new Optimizer(store, { ...settings, device: store === there ? 'auto' : 'cpu' });
      expect(first.device).toBe(store === there ? 'cuda' : 'cpu');
      first.step();
      const second = new Optimizer(store, settings);
      expect(second.device).toBe('cpu');
      second.steps = 1;
      second.step();
    }
    for (const slot of ['parameters', 'firstMoment', 'secondMoment'] as const) {
      expect(there.views(slot)).toEqual(here.views(slot));
    }
    for (const store of [there, here]) store.dispose();
  });

  it('sees what was written through views that were asked for since the last step', () => {
    useEmulatedGpu();
    const stores = DEVICES.map(() => makeStore());
    const results = stores.map((store, index) => {
      const optimizer = new Optimizer(store, {
        type: 'sgd',
        learningRate: 0.5,
        momentum: 0.9,
        device: DEVICES[index] ?? 'cpu',
      });
      optimizer.step();
      for (const slot of ['parameters', 'firstMoment'] as const) store.views(slot)[0]?.fill(0.25, 10, 20);
      optimizer.step();
      return store.views('parameters').map((view) => view.slice());
    });
    expect(results[0]).toEqual(results[1]);
    expect(results[2]).toEqual(results[1]);
    for (const store of stores) store.dispose();
  });
});

describe('training without a GPU', () => {
  const optimizer = { type: 'adamw', learningRate: 1e-3 } as const;

  it('fails with cuda, in one sentence, and trains on the CPU with auto', async () => {
    vi.stubEnv('SECATEUR_CUDA_LIBRARY', `${temporaryFolder()}/none.so`);
    const store = makeStore();
    expect(() => new Optimizer(store, { ...optimizer, device: 'cuda' })).toThrow(
      /^Expected device to be "auto" or "cpu", got "cuda": Expected the CUDA library to load, got ".*"; use the CPU$/,
    );
    expect(new Optimizer(store, { ...optimizer, device: 'auto' }).device).toBe('cpu');
    expect(() => new Optimizer(store, { ...optimizer, device: 'gpu' as 'cpu' })).toThrow(/Expected device to be/);
    store.dispose();
    const failed = Trainer.create(mlp({ hidden: 2 }), { optimizer: { ...optimizer, device: 'cuda' } });
    await expect(failed).rejects.toMatchObject({ code: 'CUDA' });
  });
});
