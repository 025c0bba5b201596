// Learning rates as pure functions of the step: same step, same rate, whatever came before, so that a resumed run
// goes on with the rates of an uninterrupted one. Knows no optimizer.
import { invalidOption } from '../errors.js';
import { checkKeys, checkNumber } from '../options.js';

/** The learning rate of a step; 0 is the first. Steps past the end of a schedule keep its last rate. */
export type Schedule = (step: number) => number;

/** A schedule as data, as it stands in configuration files. Rates are >= 0; steps are whole numbers. */
export type ScheduleOptions =
  | { type: 'constant'; learningRate: number }
  | StepScheduleOptions
  | CosineScheduleOptions
  | OneCycleScheduleOptions;

/** Multiplies the rate by `factor` at each of some steps. */
export interface StepScheduleOptions {
  type: 'step';
  learningRate: number;
  /** Steps from which the rate is lower, ascending. */
  milestones: readonly number[];
  /** @default 0.1 */
  factor?: number;
  /** Steps of linear warm-up before it; counted in the milestones. @default 0 */
  warmupSteps?: number;
}

/** Half a cosine from `learningRate` down to `finalRate`. */
export interface CosineScheduleOptions {
  type: 'cosine';
  learningRate: number;
  /** Steps in all, >= 1, the warm-up among them. The last has `finalRate`. */
  steps: number;
  /** @default 0 */
  finalRate?: number;
  /** Steps of linear warm-up before it. @default 0 */
  warmupSteps?: number;
}

/** A cosine up from learningRate / startDivisor, and another down to that start / endDivisor. */
export interface OneCycleScheduleOptions {
  type: 'one-cycle';
  /** The highest rate. */
  learningRate: number;
  /** Steps in all, >= 1. */
  steps: number;
  /** Fraction of the steps in which the rate rises, (0, 1). @default 0.3 */
  riseFraction?: number;
  /** @default 25 */
  startDivisor?: number;
  /** @default 10000 */
  endDivisor?: number;
}

const rate = { least: 0, below: Number.POSITIVE_INFINITY } as const;
const count = { least: 0, whole: true } as const;

/** The same rate always. */
export function constant(learningRate: number): Schedule {
  checkNumber('learningRate', learningRate, rate);
  return () => learningRate;
}

/**
 * @example
 * stepwise({ learningRate: 0.1, milestones: [30_000, 60_000] }); // 0.1, then 0.01, then 0.001
 * @throws SecateurError INVALID_OPTION
 */
export function stepwise(options: Omit<StepScheduleOptions, 'type'>): Schedule {
  checkKeys('option', Object.keys(options), ['type', 'learningRate', 'milestones', 'factor', 'warmupSteps']);
  const { learningRate, milestones, factor = 0.1, warmupSteps = 0 } = options;
  checkNumber('learningRate', learningRate, rate);
  checkNumber('factor', factor, rate);
  if (!Array.isArray(milestones)) throw invalidOption('milestones', 'an array of steps', milestones);
  for (const [i, milestone] of milestones.entries()) {
    checkNumber('milestones', milestone, { least: i === 0 ? 0 : Number(milestones[i - 1]) + 1, whole: true });
  }
  const passed = (step: number) => milestones.filter((milestone) => step >= milestone).length;
  return withWarmup((step) => learningRate * factor ** passed(step), warmupSteps);
}

/**
 * @example
 * cosine({ learningRate: 1e-3, steps: 10_000, warmupSteps: 500 });
 * @throws SecateurError INVALID_OPTION
 */
export function cosine(options: Omit<CosineScheduleOptions, 'type'>): Schedule {
  checkKeys('option', Object.keys(options), ['type', 'learningRate', 'steps', 'finalRate', 'warmupSteps']);
  const { learningRate, steps, finalRate = 0, warmupSteps = 0 } = options;
  checkNumber('learningRate', learningRate, rate);
  checkNumber('finalRate', finalRate, rate);
  checkNumber('steps', steps, { least: 1, whole: true });
  checkNumber('warmupSteps', warmupSteps, { least: 0, below: steps, whole: true });
  return withWarmup(
    (step) => between(learningRate, finalRate, fraction(step - warmupSteps, steps - 1 - warmupSteps)),
    warmupSteps,
  );
}

/**
 * @example
 * oneCycle({ learningRate: 0.1, steps: 10_000 }); // 0.004 up to 0.1 by step 2999, down to 4e-7
 * @throws SecateurError INVALID_OPTION
 */
export function oneCycle(options: Omit<OneCycleScheduleOptions, 'type'>): Schedule {
  const known = ['type', 'learningRate', 'steps', 'riseFraction', 'startDivisor', 'endDivisor'];
  checkKeys('option', Object.keys(options), known);
  const { learningRate, steps, riseFraction = 0.3, startDivisor = 25, endDivisor = 1e4 } = options;
  checkNumber('learningRate', learningRate, rate);
  checkNumber('steps', steps, { least: 1, whole: true });
  checkNumber('riseFraction', riseFraction, { least: Number.MIN_VALUE, below: 1 });
  checkNumber('startDivisor', startDivisor, { ...rate, least: 1 });
  checkNumber('endDivisor', endDivisor, { ...rate, least: 1 });
  const start = learningRate / startDivisor;
  const top = Math.max(0, Math.round(riseFraction * steps) - 1);
  return (step) =>
    step <= top
      ? between(start, learningRate, fraction(step, top))
      : between(learningRate, start / endDivisor, fraction(step - top, steps - 1 - top));
}

/**
 * A linear rise over the first steps to where `schedule` then is: step 0 has 1 / (steps + 1) of it.
 *
 * @throws SecateurError INVALID_OPTION
 */
export function withWarmup(schedule: Schedule, steps: number): Schedule {
  checkNumber('warmupSteps', steps, count);
  return (step) => (step < steps ? (schedule(steps) * (step + 1)) / (steps + 1) : schedule(step));
}

/**
 * The schedule that some data describe; a number is a constant rate.
 *
 * @throws SecateurError INVALID_OPTION
 */
export function makeSchedule(options: number | ScheduleOptions): Schedule {
  if (typeof options === 'number') return constant(options);
  switch (options?.type) {
    case 'constant':
      checkKeys('option', Object.keys(options), ['type', 'learningRate']);
      return constant(options.learningRate);
    case 'step':
      return stepwise(options);
    case 'cosine':
      return cosine(options);
    case 'one-cycle':
      return oneCycle(options);
    default:
      throw invalidOption('schedule', 'a rate, or an object of type constant, step, cosine or one-cycle', options);
  }
}

/** How far `done` of `all` is, in [0, 1]. */
function fraction(done: number, all: number): number {
  return all <= 0 ? 1 : Math.min(1, Math.max(0, done / all));
}

/** Half a cosine from one rate to another; exact at both ends. */
function between(from: number, to: number, part: number): number {
  const left = (1 + Math.cos(Math.PI * part)) / 2;
  return from * left + to * (1 - left);
}
