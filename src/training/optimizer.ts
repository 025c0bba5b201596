// Parameters in the addon's memory and the optimizers that work on them, with defaults and checks. The mathematics is
// native (native/include/secateur/optimizer.h and admm.h); nothing here touches elements.
import { invalidOption } from '../errors.js';
import { callNative, callNativeSync } from '../native/addon.js';
import { chooseDevice, DEVICES, type DeviceChoice } from '../native/device.js';
import type { NativeStepOptions, NativeStepResult } from '../native/training-contract.js';
import { checkKeys, checkNumber } from '../options.js';
import { checkWord } from '../prune/options.js';
import type { ParameterStore } from './parameter-store.js';
import { makeSchedule, type Schedule, type ScheduleOptions } from './schedules.js';

interface CommonOptions {
  /** A rate >= 0, a schedule as data, or a function of the step, from 0. */
  learningRate: number | ScheduleOptions | Schedule;
  /** Clips gradients by their norm over all tensors together; 0 is off. The ADMM pull is not clipped. @default 0 */
  maxGradientNorm?: number;
  /** The most threads; 0 means all cores. Results do not depend on it. @default 0 */
  threads?: number;
  /**
   * Where steps and projections are computed, to equal bits. On a GPU the momenta and ADMM's state stay there; a step
   * copies gradients to it and parameters back, for a runtime that is on the CPU. `auto`: a GPU where one works. What is
   * written through views of the store between two steps counts if `views` was called for it since the last one.
   * @default 'cpu'
   */
  device?: DeviceChoice;
}

export interface SgdOptions extends CommonOptions {
  type: 'sgd';
  /** [0, 1). @default 0 */
  momentum?: number;
  /** Damps what enters the momentum, [0, 1]. @default 0 */
  dampening?: number;
  /** Needs momentum, and no dampening. @default false */
  nesterov?: boolean;
  /** A penalty: weightDecay * w is added to the gradient. @default 0 */
  weightDecay?: number;
  /** Decoupled: shrinks weights by learningRate * this. @default 0 */
  decoupledWeightDecay?: number;
}

export interface AdamOptions extends CommonOptions {
  /** They differ in weight decay: a penalty in `adam`, decoupled in `adamw`. */
  type: 'adam' | 'adamw';
  /** [0, 1). @default 0.9 */
  beta1?: number;
  /** [0, 1). @default 0.999 */
  beta2?: number;
  /** @default 1e-8 */
  epsilon?: number;
  /** @default 0 with `adam`, 0.01 with `adamw` */
  weightDecay?: number;
  /** Corrects for momenta that begin at zero. @default true */
  correctBias?: boolean;
  /**
   * Where epsilon and decay come in: `torch` as PyTorch (ONNX Runtime's adam_mode 0), `runtime` as adam_mode 1, which
   * its artifacts are written with. @default 'torch'
   */
  form?: 'torch' | 'runtime';
}

export type OptimizerOptions = SgdOptions | AdamOptions;

/** What may differ from step to step. */
export interface StepInput {
  /** In place of the schedule's. */
  learningRate?: number;
  /** Weight of the ADMM pull towards Z, >= 0; needs a projection before. @default 0 */
  rho?: number;
  /** Multiplies gradients: 1 / n after accumulating n of them. @default 1 */
  gradientScale?: number;
  /** Measure the norm though nothing is clipped by it; a read of the gradients. @default false */
  measureNorm?: boolean;
}

export interface StepOutput {
  /** Of the gradients over all tensors, before clipping; NaN where it was not measured. */
  gradientNorm: number;
  /** False: the gradients' norm is not finite, so nothing was changed or counted. Only with clipping. */
  applied: boolean;
  learningRate: number;
}

const COMMON = ['type', 'learningRate', 'maxGradientNorm', 'threads', 'device', 'weightDecay'] as const;
const SGD = [...COMMON, 'momentum', 'dampening', 'nesterov', 'decoupledWeightDecay'] as const;
const ADAM = [...COMMON, 'beta1', 'beta2', 'epsilon', 'correctBias', 'form'] as const;
const finite = { least: 0, below: Number.POSITIVE_INFINITY } as const;

type Fixed = Omit<NativeStepOptions, 'step' | 'learningRate' | 'gradientScale' | 'measureNorm' | 'rho'>;

/**
 * An optimizer over the gradients and parameters of a store. The momenta live in the store; the count of steps, which
 * schedules and bias correction go by, in here.
 *
 * @example
 * const optimizer = new Optimizer(store, { type: 'adamw', learningRate: 1e-3 });
 * optimizer.step();
 */
export class Optimizer {
  /** Where steps are computed. */
  readonly device: 'cpu' | 'cuda';
  readonly #store: ParameterStore;
  readonly #schedule: Schedule;
  readonly #fixed: Fixed;
  #steps = 0;

  /** @throws SecateurError INVALID_OPTION; CUDA where a GPU is asked for and cannot be had. */
  constructor(store: ParameterStore, options: OptimizerOptions) {
    this.#store = store;
    this.#fixed = checkOptions(options);
    const { learningRate, device = 'cpu' } = options;
    const library = chooseDevice(device, undefined);
    callNativeSync((native) => native.setStoreDevice(store.handle, library));
    this.device = library === undefined ? 'cpu' : 'cuda';
    this.#schedule = typeof learningRate === 'function' ? learningRate : makeSchedule(learningRate);
  }

  /** Steps taken. Set it when resuming. */
  get steps(): number {
    return this.#steps;
  }

  set steps(steps: number) {
    checkNumber('steps', steps, { least: 0, whole: true });
    this.#steps = steps;
  }

  /**
   * One step, on this thread: for a worker thread, whose only work it is.
   *
   * @throws SecateurError INVALID_OPTION
   */
  step(input: StepInput = {}): StepOutput {
    const options = this.#native(input);
    return this.#took(
      options,
      callNativeSync((native) => native.optimizerStep(this.#store.handle, options)),
    );
  }

  /**
   * One step, on other threads. Read and write none of the store's memory until it is done.
   *
   * @throws SecateurError INVALID_OPTION
   */
  async stepAsync(input: StepInput = {}): Promise<StepOutput> {
    const options = this.#native(input);
    return this.#took(options, await callNative((native) => native.optimizerStepAsync(this.#store.handle, options)));
  }

  #native(input: StepInput): NativeStepOptions {
    checkKeys('option', Object.keys(input), ['learningRate', 'rho', 'gradientScale', 'measureNorm']);
    const { learningRate = this.#schedule(this.#steps), rho = 0, gradientScale = 1, measureNorm = false } = input;
    checkNumber('learningRate', learningRate, finite);
    checkNumber('rho', rho, finite);
    checkNumber('gradientScale', gradientScale, finite);
    return { ...this.#fixed, step: this.#steps + 1, learningRate, rho, gradientScale, measureNorm };
  }

  #took({ step, learningRate }: NativeStepOptions, result: NativeStepResult): StepOutput {
    if (result.applied) this.#steps = step;
    return { ...result, learningRate };
  }
}

function checkOptions(options: OptimizerOptions): Fixed {
  if (typeof options !== 'object' || options === null) throw invalidOption('options', 'an object', options);
  const common = checkCommon(options);
  switch (options.type) {
    case 'sgd':
      return { ...common, ...checkSgd(options) };
    case 'adam':
    case 'adamw':
      return { ...common, ...checkAdam(options) };
    default:
      throw invalidOption('type', '"sgd", "adam" or "adamw"', (options as { type?: unknown }).type);
  }
}

function checkCommon({ maxGradientNorm = 0, threads = 0, device = 'cpu' }: CommonOptions): Fixed {
  checkWord('device', device, DEVICES);
  checkNumber('maxGradientNorm', maxGradientNorm, finite);
  checkNumber('threads', threads, { least: 0, most: 1024, whole: true });
  return {
    kind: 'sgd',
    form: 'torch',
    maxGradientNorm,
    threads,
    l2: 0,
    decay: 0,
    momentum: 0,
    dampening: 0,
    nesterov: false,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    correctBias: true,
  };
}

function checkSgd(options: SgdOptions): Partial<Fixed> {
  checkKeys('option', Object.keys(options), SGD);
  const { momentum = 0, dampening = 0, nesterov = false } = options;
  const { weightDecay: l2 = 0, decoupledWeightDecay: decay = 0 } = options;
  checkNumber('momentum', momentum, { least: 0, below: 1 });
  checkNumber('dampening', dampening, { least: 0, most: 1 });
  checkNumber('weightDecay', l2, finite);
  checkNumber('decoupledWeightDecay', decay, finite);
  checkFlag('nesterov', nesterov);
  if (nesterov && (momentum === 0 || dampening !== 0)) {
    throw invalidOption('nesterov', 'used with momentum and without dampening', `momentum ${momentum}, ${dampening}`);
  }
  return { kind: 'sgd', momentum, dampening, nesterov, l2, decay };
}

function checkAdam(options: AdamOptions): Partial<Fixed> {
  checkKeys('option', Object.keys(options), ADAM);
  const decoupled = options.type === 'adamw';
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, correctBias = true, form = 'torch' } = options;
  const { weightDecay = decoupled ? 0.01 : 0 } = options;
  checkNumber('beta1', beta1, { least: 0, below: 1 });
  checkNumber('beta2', beta2, { least: 0, below: 1 });
  checkNumber('epsilon', epsilon, finite);
  checkNumber('weightDecay', weightDecay, finite);
  checkFlag('correctBias', correctBias);
  if (form !== 'torch' && form !== 'runtime') throw invalidOption('form', '"torch" or "runtime"', form);
  const decays = decoupled ? { decay: weightDecay } : { l2: weightDecay };
  return { kind: 'adam', beta1, beta2, epsilon, correctBias, form, ...decays };
}

function checkFlag(option: string, value: unknown): void {
  if (typeof value !== 'boolean') throw invalidOption(option, 'true or false', value);
}
