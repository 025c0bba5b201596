// The calls on weights in memory, against a slow reference.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applySelection, globalThreshold, packMasks, selectRatios } from '../../src/index.js';
import { prunedReference } from './reference.js';

/** Few distinct values, so that ties matter. */
const weights = fc.array(fc.integer({ min: -8, max: 8 }), { maxLength: 300 });

/** What the reference leaves of a list of tensors. */
function expected(tensors: readonly number[][], ratio: number, scope: 'global' | 'layer' = 'global'): number[][] {
  const named = new Map(tensors.map((values, index) => [String(index), values]));
  return [...prunedReference(named, ratio, scope).values()];
}

const numbers = (arrays: readonly Float32Array[]) => arrays.map((array) => Array.from(array, (value) => value + 0));

describe('globalThreshold and applySelection', () => {
  it('remove what the reference removes, exactly round(ratio * N)', async () => {
    const tensors = fc.array(weights, { minLength: 1, maxLength: 4 });
    const ratios = fc.double({ min: 0, max: 0.999, noNaN: true });
    await fc.assert(
      fc.asyncProperty(tensors, ratios, fc.constantFrom('global', 'layer'), async (values, ratio, scope) => {
        const arrays = values.map((each) => Float32Array.from(each));
        const selection = await globalThreshold(arrays, { ratio, scope, threads: 2 });
        await applySelection(selection, arrays);
        expect(numbers(arrays)).toEqual(expected(values, ratio, scope));
        const total = values.flat().length;
        if (scope === 'global') expect(selection.removed).toBe(Math.round(ratio * total));
        expect(selection.threshold === null).toBe(scope === 'layer');
      }),
      { numRuns: 300 },
    );
  });

  it('is idempotent, and the same for any number of threads', async () => {
    const make = () => Float32Array.from({ length: 700_000 }, (_, index) => Math.sin(index * index));
    const [one, many] = [make(), make()];
    await applySelection(await globalThreshold([one], { ratio: 0.75, threads: 1 }), [one], { threads: 1 });
    await applySelection(await globalThreshold([many], { ratio: 0.75, threads: 7 }), [many], { threads: 7 });
    expect(Buffer.compare(Buffer.from(one.buffer), Buffer.from(many.buffer))).toBe(0);
    const again = await globalThreshold([one], { ratio: 0.75 });
    const zeros = await applySelection(again, [one]);
    expect(zeros).toEqual([525_000]);
    expect(Buffer.compare(Buffer.from(one.buffer), Buffer.from(many.buffer))).toBe(0);
  });

  it('works on views that begin in mid-buffer, and touches nothing around them', async () => {
    const all = Float32Array.from({ length: 30 }, (_, index) => index + 1);
    const view = all.subarray(10, 20);
    await applySelection(await globalThreshold([view], { ratio: 0.5 }), [view]);
    expect([...all.subarray(0, 10)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect([...view]).toEqual([0, 0, 0, 0, 0, 16, 17, 18, 19, 20]);
    expect(all[20]).toBe(21);
  });

  it('ranks half precision and mixed types by value', async () => {
    const half = Uint16Array.of(0x3c00, 0xc000, 0x0001); // 1, -2, 2^-24
    const brain = Uint16Array.of(0x3fc0, 0x8000); // 1.5, -0
    const double = Float64Array.of(1.25, -3);
    const tensors = [{ data: half, dtype: 'float16' as const }, { data: brain, dtype: 'bfloat16' as const }, double];
    const selection = await globalThreshold(tensors, { ratio: 4 / 7 });
    expect(selection.threshold).toBe(1.5);
    expect(selection.tensors.map(({ removed }) => removed)).toEqual([2, 1, 1]);
    await applySelection(selection, tensors);
    expect([[...half], [...brain], [...double]]).toEqual([
      [0, 0xc000, 0],
      [0x3fc0, 0],
      [0, -3],
    ]);
  });

  it('scales scores by a factor, without changing the weights', async () => {
    const [small, large] = [Float32Array.of(1, 2), Float32Array.of(3, 4)];
    const tensors = [{ data: small, factor: 10 }, large];
    const selection = await globalThreshold(tensors, { ratio: 0.5 });
    await applySelection(selection, tensors);
    expect([...small, ...large]).toEqual([1, 2, 0, 0]);
    expect(selection.threshold).toBe(10);
  });

  it('keeps a floor in every tensor', async () => {
    const tensors = [new Float32Array(100).fill(0.001), Float32Array.from({ length: 100 }, (_, i) => 1 + i)];
    const selection = await globalThreshold(tensors, { ratio: 0.6, minKeep: 0.1 });
    expect(selection.tensors.map(({ removed }) => removed)).toEqual([90, 30]);
    await expect(globalThreshold(tensors, { ratio: 0.95, minKeep: 0.1 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });
});

describe('selectRatios', () => {
  it('answers many ratios as single calls do', async () => {
    const array = Float32Array.from({ length: 200_000 }, (_, index) => Math.cos(index * index));
    const ratios = Array.from({ length: 19 }, (_, index) => (index + 1) / 20);
    const together = await selectRatios([array], { ratios });
    for (const [index, ratio] of ratios.entries()) {
      const alone = await globalThreshold([array], { ratio });
      const { removed, threshold, tensors } = together[index]!;
      expect({ removed, threshold, tensors }).toEqual({
        removed: alone.removed,
        threshold: alone.threshold,
        tensors: alone.tensors,
      });
    }
  });
});

describe('packMasks', () => {
  it('gives a bit a weight, least significant first', async () => {
    const array = Float32Array.from({ length: 11 }, (_, index) => (index % 3 === 0 ? 5 : 1));
    const [mask] = await packMasks(await globalThreshold([array], { ratio: 7 / 11 }), [array]);
    expect([...(mask ?? [])]).toEqual([0b01001001, 0b010]);
  });
});

describe('wrong use', () => {
  const array = Float32Array.of(1, 2, 3);

  it.each([
    [{ ratio: 1 }, 'Expected ratio to be a number in [0, 1), got 1'],
    [{ ratio: Number.NaN }, 'Expected ratio to be a number in [0, 1), got NaN'],
    [{ ratio: 0.5, minKeep: 2 }, 'Expected minKeep to be a number in [0, 1], got 2'],
    [{ ratio: 0.5, threads: 1.5 }, 'Expected threads to be a whole number in [0, 1024], got 1.5'],
    [{ ratio: 0.5, minkeep: 0.1 }, 'Unknown option "minkeep"; did you mean "minKeep"?'],
    [{ ratio: 0.5, scope: 'Global' }, `Expected scope to be 'global' or 'layer', got "Global"`],
  ])('%j is refused', async (options, message) => {
    await expect(globalThreshold([array], options as { ratio: number })).rejects.toMatchObject({
      name: 'SecateurError',
      code: 'INVALID_OPTION',
      message,
    });
  });

  it('needs to be told what 16-bit patterns mean', async () => {
    await expect(globalThreshold([new Uint16Array(4)], { ratio: 0.5 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('float16, bfloat16'),
    });
  });

  it('names the tensor and index of what is not finite', async () => {
    const bad = Float32Array.of(1, Number.NaN);
    await expect(globalThreshold([array, bad], { ratio: 0.5 })).rejects.toMatchObject({
      code: 'NONFINITE_WEIGHT',
      fields: { tensor: 'tensor 1', index: 1 },
    });
    const kept = await globalThreshold([array, bad], { ratio: 0.8, allowNonfinite: true });
    expect(kept.tensors.map(({ removed }) => removed)).toEqual([3, 1]);
  });

  it('refuses a selection made from other tensors', async () => {
    const selection = await globalThreshold([array], { ratio: 0.5 });
    await expect(applySelection(selection, [Float32Array.of(1, 2)])).rejects.toThrow('types and sizes');
  });

  it('ends early when aborted', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(globalThreshold([array], { ratio: 0.5, signal })).rejects.toMatchObject({
      code: 'ABORTED',
      cause: { message: 'enough' },
    });
  });
});
