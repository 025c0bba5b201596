// Learning-rate schedules: their ends, their shape in between, and what they refuse.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  constant,
  cosine,
  makeSchedule,
  oneCycle,
  type Schedule,
  type ScheduleOptions,
  stepwise,
  withWarmup,
} from '../../src/training/schedules.js';

const rates = (schedule: Schedule, steps: number) => Array.from({ length: steps }, (_, step) => schedule(step));

describe('schedules', () => {
  it('keeps a constant rate', () => {
    expect(rates(constant(0.25), 3)).toEqual([0.25, 0.25, 0.25]);
    expect(makeSchedule(0.25)(1e9)).toBe(0.25);
  });

  it('multiplies at milestones', () => {
    const schedule = stepwise({ learningRate: 1, milestones: [2, 4], factor: 0.5 });
    expect(rates(schedule, 6)).toEqual([1, 1, 0.5, 0.5, 0.25, 0.25]);
  });

  it('follows half a cosine, exact at both ends and constant after', () => {
    const schedule = cosine({ learningRate: 1, steps: 5, finalRate: 0.2 });
    const expected = [0, 0.25, 0.5, 0.75, 1].map((part) => 0.2 + 0.8 * (0.5 + 0.5 * Math.cos(Math.PI * part)));
    for (const [step, value] of expected.entries()) expect(schedule(step)).toBeCloseTo(value, 12);
    expect([schedule(0), schedule(4), schedule(100)]).toEqual([1, 0.2, 0.2]);
    expect(cosine({ learningRate: 1, steps: 1 })(0)).toBe(0);
  });

  it('warms up in a line to where the schedule begins', () => {
    expect(rates(withWarmup(constant(1), 3), 5)).toEqual([0.25, 0.5, 0.75, 1, 1]);
    const schedule = cosine({ learningRate: 1, steps: 13, warmupSteps: 3 });
    expect(rates(schedule, 4)).toEqual([0.25, 0.5, 0.75, 1]);
    expect(schedule(12)).toBe(0);
  });

  it('goes up and down in one cycle', () => {
    const schedule = oneCycle({ learningRate: 1, steps: 100, riseFraction: 0.3, startDivisor: 20, endDivisor: 100 });
    expect(schedule(0)).toBe(0.05);
    expect(schedule(29)).toBe(1);
    expect(schedule(99)).toBeCloseTo(0.0005, 12);
    const all = rates(schedule, 100);
    expect(all.slice(0, 30)).toEqual([...all.slice(0, 30)].sort((a, b) => a - b));
    expect(all.slice(29)).toEqual([...all.slice(29)].sort((a, b) => b - a));
  });

  it('stays between 0 and the highest rate for any step', () => {
    const options = fc.record({ learningRate: fc.double({ min: 0, max: 10, noNaN: true }), steps: fc.nat(999) });
    fc.assert(
      fc.property(options, fc.nat(3000), ({ learningRate, steps }, step) => {
        for (const type of ['cosine', 'one-cycle'] as const) {
          const rate = makeSchedule({ type, learningRate, steps: steps + 1 })(step);
          expect(rate).toBeGreaterThanOrEqual(0);
          expect(rate).toBeLessThanOrEqual(learningRate * (1 + 1e-12));
        }
      }),
    );
  });

  it.each([
    ['learningRate', { type: 'constant', learningRate: -1 }],
    ['learningRate', { type: 'constant', learningRate: Number.NaN }],
    ['steps', { type: 'cosine', learningRate: 1, steps: 0 }],
    ['warmupSteps', { type: 'cosine', learningRate: 1, steps: 5, warmupSteps: 5 }],
    ['milestones', { type: 'step', learningRate: 1, milestones: [5, 5] }],
    ['factor', { type: 'step', learningRate: 1, milestones: [5], factor: -1 }],
    ['riseFraction', { type: 'one-cycle', learningRate: 1, steps: 5, riseFraction: 1 }],
    ['step', { type: 'cosine', learningRate: 1, step: 5 }],
    ['schedule', { type: 'linear' }],
    ['schedule', null],
  ])('refuses a bad %s: %j', (option, options) => {
    expect(() => makeSchedule(options as ScheduleOptions)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', fields: expect.objectContaining({ option }) }),
    );
  });
});
