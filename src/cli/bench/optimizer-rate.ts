// How fast the fused optimizer with the ADMM pull moves memory, against the machine's own rate of reading and writing.
import { callNative, callNativeSync } from '../../native/addon.js';
import { Optimizer } from '../../training/optimizer.js';
import { ParameterStore } from '../../training/parameter-store.js';

const REPEATS = 9;
// Read: parameters, gradients, momenta, V. Written: parameters, momenta.
const BYTES_AN_ELEMENT = 6 * 4;

/** The fastest of some runs, as memory's own rate is meant; a gigabyte is 1e9 bytes. */
export interface OptimizerRate {
  elements: number;
  stepMs: number;
  gbPerSecond: number;
  /** Of a parallel read and write of an array in place, in the same run. */
  copyGbPerSecond: number;
  toCopy: number;
}

/** Times SGD with momentum, weight decay and the pull of ADMM on so many weights. */
export async function optimizerRate(elements: number, threads: number): Promise<OptimizerRate> {
  const store = ParameterStore.create([{ name: 'weights', size: elements, prune: true }]);
  try {
    callNativeSync((native) => {
      native.fillNormal(store.views('parameters')[0] as Float32Array, { seed: 1, stream: 0, std: 0.05 });
      native.fillNormal(store.views('gradients')[0] as Float32Array, { seed: 1, stream: 1, std: 0.001 });
    });
    await store.project({ ratio: 0.9, threads });
    const optimizer = new Optimizer(store, {
      type: 'sgd',
      learningRate: 1e-6,
      momentum: 0.9,
      weightDecay: 1e-4,
      threads,
    });
    const times: number[] = [];
    const copies: number[] = [];
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      copies.push(await readWriteSeconds(elements, threads));
      const begin = performance.now();
      await optimizer.stepAsync({ rho: 1e-3 });
      times.push(performance.now() - begin);
    }
    return rate(elements, Math.min(...times), Math.min(...copies));
  } finally {
    store.dispose();
  }
}

async function readWriteSeconds(elements: number, threads: number): Promise<number> {
  const options = {
    elements,
    dtype: 'float32',
    distribution: 'normal',
    ratios: [0.5],
    threads,
    repeats: 1,
    seed: 1,
  } as const;
  const { seconds } = await callNative((native) => native.benchSelect({ ...options, ratios: [...options.ratios] }));
  return seconds.floorReadWrite;
}

function rate(elements: number, stepMs: number, copySeconds: number): OptimizerRate {
  const gbPerSecond = (elements * BYTES_AN_ELEMENT) / (stepMs * 1e6);
  const copyGbPerSecond = (elements * 8) / (copySeconds * 1e9);
  return { elements, stepMs, gbPerSecond, copyGbPerSecond, toCopy: gbPerSecond / copyGbPerSecond };
}
