// Learning rates of a phase of training: a schedule whose length is that of the phase where it does not say its own.
import {
  type CosineScheduleOptions,
  makeSchedule,
  type OneCycleScheduleOptions,
  type Schedule,
  type ScheduleOptions,
} from './schedules.js';

type Open<T extends { steps: number }> = Omit<T, 'steps'> & { steps?: number };

/** A rate, a schedule as data (`steps` is the phase's by default), or a function of the step in the phase. */
export type PhaseRate =
  | number
  | ScheduleOptions
  | Open<CosineScheduleOptions>
  | Open<OneCycleScheduleOptions>
  | Schedule;

/** @throws SecateurError INVALID_OPTION */
export function phaseSchedule(rate: PhaseRate, steps: number): Schedule {
  if (typeof rate === 'function') return rate;
  if (typeof rate === 'number' || (rate.type !== 'cosine' && rate.type !== 'one-cycle')) return makeSchedule(rate);
  return makeSchedule({ ...rate, steps: rate.steps ?? Math.max(1, steps) });
}
