// What `prune` and `inspect` refuse, and that nothing is left behind when they do.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { SecateurError } from '../../src/errors.js';
import { AttributeProtoSchema, type TensorProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { inspect } from '../../src/prune/inspect.js';
import { makePlan } from '../../src/prune/plan.js';
import { type PruneOptions, prune } from '../../src/prune/prune.js';
import { modelWith, ramp, raw, saved } from '../onnx/helpers.js';

type TensorInit = MessageInitShape<typeof TensorProtoSchema>;

function modelOf(tensor: TensorInit): string {
  const initializer = [{ name: 'w', dims: [2n, 3n], dataType: 1, ...tensor }] as TensorInit[];
  return saved(modelWith({ initializer, node: [{ opType: 'MatMul', input: ['x', 'w'], output: ['y'] }] }));
}

const good = () => modelOf({ rawData: raw(ramp(6)) });

async function refusal(path: string, options: unknown) {
  const given = { output: join(dirname(path), 'o.onnx'), ratio: 0.5, ...(options as object) } as PruneOptions;
  const files = readdirSync(dirname(path));
  try {
    await prune(path, given);
  } catch (error) {
    expect(readdirSync(dirname(path))).toEqual(files);
    return error;
  }
  throw new Error('it was not refused');
}

describe('options', () => {
  test.each([
    [{ ratio: 1 }, 'Expected ratio to be a number in [0, 1), got 1'],
    [{ ratio: -0.1 }, 'Expected ratio to be a number in [0, 1), got -0.1'],
    [{ ratio: Number.NaN }, 'Expected ratio to be a number in [0, 1), got NaN'],
    [{ ratio: '0.5' }, 'Expected ratio to be a number in [0, 1), got "0.5"'],
    [{ ratio: undefined }, 'Expected ratio to be a number in [0, 1), got undefined'],
    [{ minKeep: 2 }, 'Expected minKeep to be a number in [0, 1], got 2'],
    [{ scope: 'both' }, 'Expected scope to be "global" or "layer", got "both"'],
    [{ threads: 1.5 }, 'Expected threads to be a whole number in [0, 1024], got 1.5'],
    [{ include: 'w' }, 'Expected include to be an array of non-empty strings, got "w"'],
    [{ exclude: [''] }, 'Expected exclude to be an array of non-empty strings, got '],
    [{ dryRun: 1 }, 'Expected dryRun to be true or false, got 1'],
    [{ output: undefined }, 'Expected output to be the path of a file, got undefined'],
    [{ signal: {} }, 'Expected signal to be an AbortSignal, got [object Object]'],
    [{ onProgress: 5 }, 'Expected onProgress to be a function, got 5'],
    [{ minkeep: 0.1 }, 'Unknown option "minkeep"; did you mean "minKeep"?'],
  ])('%j', async (options, message) => {
    expect(await refusal(good(), options)).toMatchObject({ code: 'INVALID_OPTION', message });
  });

  test('no options, no path, no CUDA', async () => {
    // @ts-expect-error a program without types
    await expect(prune(good())).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(inspect('')).rejects.toMatchObject({ code: 'INVALID_OPTION', fields: { option: 'path' } });
    // @ts-expect-error a program without types
    await expect(inspect(good(), { ratio: 1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(await refusal(good(), { device: 'cuda' })).toMatchObject({ code: 'CUDA' });
  });
});

describe('tensors that contradict themselves', () => {
  test.each<[string, TensorInit]>([
    ['too few raw bytes', { rawData: raw(ramp(5)) }],
    ['too many raw bytes', { rawData: raw(ramp(7)) }],
    ['too few floats', { floatData: ramp(5) }],
    ['no elements', {}],
    ['two payloads', { rawData: raw(ramp(6)), floatData: ramp(6) }],
    ['floats among the doubles', { doubleData: ramp(6) }],
    ['too few halves', { dataType: 10, int32Data: [1, 2, 3] }],
    ['a negative dimension', { dims: [-2n, -3n], rawData: raw(ramp(6)) }],
    ['dimensions whose product overflows', { dims: [2n ** 40n, 2n ** 40n], rawData: raw(ramp(6)) }],
  ])('%s', async (_, tensor) => {
    const path = modelOf(tensor);
    expect(await refusal(path, {})).toMatchObject({ code: 'INVALID_MODEL', fields: { tensor: 'w' } });
    await expect(inspect(path)).rejects.toMatchObject({ code: 'INVALID_MODEL' });
  });
});

test('NaN and infinity are refused with name and index, or kept', async () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const path = modelOf({ rawData: raw([1, 2, 3, value, 5, 6]) });
    expect(await refusal(path, {})).toMatchObject({ code: 'NONFINITE_WEIGHT', fields: { tensor: 'w', index: 3 } });
    const report = await prune(path, { output: `${path}.out`, ratio: 0.9, allowNonfinite: true });
    expect(report.removed).toBe(5);
  }
});

test('nothing to prune is an error for prune and none for inspect', async () => {
  const path = modelOf({ dataType: 3, rawData: new Uint8Array(6) });
  const error = await refusal(path, {});
  expect(error).toMatchObject({ code: 'NOTHING_PRUNABLE', message: expect.stringContaining('w: quantised to int8') });
  expect(await inspect(path)).toMatchObject({ prunable: [], skipped: [{ name: 'w', reason: 'quantised to int8' }] });
  expect(await refusal(modelOf({ dims: [0n, 3n] }), {})).toMatchObject({ code: 'NOTHING_PRUNABLE' });
});

test('places that cannot be written', async () => {
  const path = good();
  const missing = join(dirname(path), 'missing', 'o.onnx');
  expect(await refusal(path, { output: missing })).toMatchObject({ code: 'IO', fields: { errno: 'ENOENT' } });
  mkdirSync(join(dirname(path), 'folder'));
  expect(await refusal(path, { output: join(dirname(path), 'folder') })).toMatchObject({ code: 'IO' });
});

test('a signal that has fired', async () => {
  expect(await refusal(good(), { signal: AbortSignal.abort('enough') })).toMatchObject({
    code: 'ABORTED',
    cause: 'enough',
  });
});

test('a damaged model is planned or refused, never a crash', () => {
  const value = create(AttributeProtoSchema, {
    name: 'value',
    type: 4,
    t: { dims: [2n], dataType: 1, floatData: [1, 2] },
  });
  const external = { dims: [1n, 1n], dataType: 1, dataLocation: 1, externalData: [{ key: 'location', value: 'd' }] };
  const model = modelWith(
    {
      node: [
        { opType: 'Constant', output: ['k'], attribute: [value] },
        { opType: 'F', domain: 'l', input: ['w'], output: ['f'] },
        { opType: 'MatMul', input: ['f', 'e'], output: ['y'] },
      ],
      initializer: [
        { name: 'w', dims: [2n, 3n], dataType: 1, rawData: raw(ramp(6)) },
        { name: 'e', ...external },
      ],
    },
    {
      functions: [
        {
          name: 'F',
          domain: 'l',
          input: ['a'],
          output: ['b'],
          node: [{ opType: 'Identity', input: ['a'], output: ['b'] }],
        },
      ],
    },
  );
  const path = saved(model);
  writeFileSync(join(dirname(path), 'd'), raw([1]));
  const bytes = readFileSync(path);
  expect(makePlan(path, {}).prunable.map(({ name }) => name)).toEqual(['w', 'e']);
  for (let at = 0; at < bytes.length; at++) {
    for (const change of [1, 2, 4, 0x80, 0xff]) {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ change;
      writeFileSync(path, damaged);
      try {
        makePlan(path, {});
      } catch (error) {
        if (!(error instanceof SecateurError)) throw error;
        expect(['INVALID_MODEL', 'EXTERNAL_DATA', 'UNSUPPORTED']).toContain(error.code);
      }
    }
  }
});
