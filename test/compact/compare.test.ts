// Two models side by side: what counts as the same, and which failures are whose.
import { describe, expect, it } from 'vitest';
import { type CompareOptions, compare } from '../../src/compact/compare.js';
import { toleranceOf } from '../../src/compact/difference.js';
import { float } from '../../src/onnx/build/attributes.js';
import type { Value } from '../../src/onnx/build/graph-builder.js';
import { saved } from '../onnx/helpers.js';
import { type Built, build, type Layers } from './support.js';

const TOLERANCE = 1e-3;

/** x [2, 6] times a weight, and what `make` does with it, as a file. */
function product(make: (layers: Layers, value: Value) => Value, { scale = 1, columns = 4, type = 1 } = {}): string {
  const built = build([2, 6], (l, x) => {
    const weight = l.graph.initializer('weight', [6, columns], new Float32Array(6 * columns).fill(scale));
    return make(l, l.graph.op('MatMul', [x, weight]));
  });
  return saved(withOutputType(built, type));
}

function withOutputType({ model }: Built, type: number): Built['model'] {
  const declared = model.graph!.output[0]!.type!.value;
  if (declared.case === 'tensorType') declared.value.elemType = type;
  return model;
}

function compareFiles(before: string, after: string, options: Partial<CompareOptions> = {}) {
  return compare(before, after, { measure: false, batch: 2, threads: 1, tolerance: TOLERANCE, ...options });
}

const same = (_: Layers, value: Value): Value => value;
const cast = (to: number) => (l: Layers, value: Value) => l.graph.op('Cast', [value], { to });

describe('the outputs', () => {
  it('may differ by rounding', async () => {
    const result = await compareFiles(product(same), product(same, { scale: 1.0001 }));
    expect(result!.difference!).toBeGreaterThan(0);
    expect(result!.difference! / result!.largest!).toBeLessThan(TOLERANCE);
    expect(result!.problem).toBeUndefined();
  });

  it('may not differ by more, unless that is asked for', async () => {
    const [before, after] = [product(same), product(same, { scale: 1.01 })];
    await expect(compareFiles(before, after)).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(await compareFiles(before, after, { tolerance: 3e-2 })).toMatchObject({ batch: 2 });
  });

  it('may not have another shape', async () => {
    const compared = compareFiles(product(same), product(same, { columns: 3 }));
    await expect(compared).rejects.toThrow('to be [2 x 4], got [2 x 3]');
    const integers = compareFiles(product(cast(7), { type: 7 }), product(cast(7), { columns: 3, type: 7 }));
    await expect(integers).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('of float16 are compared', async () => {
    const half = (scale: number) => product(cast(10), { scale, type: 10 });
    const equal = await compareFiles(half(1), half(1));
    expect(equal).toMatchObject({ difference: 0 });
    const floats = await compareFiles(product(same), product(same));
    expect(equal!.largest! / floats!.largest!).toBeCloseTo(1, 2);
    await expect(compareFiles(half(1), half(1.1))).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('of integers are not, and no difference is made up', async () => {
    const whole = (scale: number) => product(cast(7), { scale, type: 7 });
    expect(await compareFiles(whole(1), whole(2))).toEqual({
      batch: 2,
      difference: null,
      largest: null,
      latency: null,
    });
  });

  it('that are not finite may become so, but not the other way round', async () => {
    const over = (divisor: number) => product((l, value) => l.graph.op('Div', [value, l.graph.float32(divisor)]));
    expect(await compareFiles(over(0), over(1))).toMatchObject({ difference: null });
    await expect(compareFiles(over(1), over(0))).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('of a model that is random are not held to anything', async () => {
    const noisy = (seed: number) =>
      product((l, value) => {
        return l.graph.op('Add', [value, l.graph.op('RandomNormalLike', [value], { seed: float(seed) })]);
      });
    const result = await compareFiles(noisy(1), noisy(2));
    expect(result).toMatchObject({ difference: null, problem: 'the outputs of the model differ from run to run' });
  });
});

describe('a model that does not run', () => {
  const broken = (): string => product((l, value) => l.graph.op('Reshape', [value, l.graph.int64([5, 5])]));

  it('is a failure where only the second does not', async () => {
    await expect(compareFiles(product(same), broken())).rejects.toMatchObject({ code: 'RUNTIME' });
  });

  it('is a problem that is told where the first does not', async () => {
    const result = await compareFiles(broken(), broken());
    expect(result).toMatchObject({ difference: null, largest: null, latency: null });
    expect(result!.problem).toContain('Expected the model to run');
  });
});

it('weights of few bits round more', () => {
  const { model } = build([2, 6], (l, x) => l.gemm(x, [6, 4]));
  const fine = toleranceOf(model);
  model.graph!.initializer[0]!.dataType = 10;
  expect(toleranceOf(model)).toBeGreaterThan(fine);
});
