// Models with external data: one data file beside the output, whatever the input has, and sources that stay whole.
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { prune } from '../../src/prune/prune.js';
import { modelWith, ramp, raw, saved, temporaryFolder } from '../onnx/helpers.js';
import { prunedReference, weightsOf } from './reference.js';

interface Place {
  file: string;
  offset?: number;
  more?: Record<string, string>;
}

const COUNT = 64;

/** A model with one weight of 64 floats at each place; the files have a kilobyte more than is used. */
function externalModel(places: readonly Place[], folder = temporaryFolder()): string {
  const initializer = places.map(({ file, offset, more = {} }, index) => ({
    name: `w${index}`,
    dims: [8n, 8n],
    dataType: 1,
    dataLocation: 1,
    externalData: Object.entries({
      location: file,
      ...(offset === undefined ? {} : { offset: String(offset) }),
      ...more,
    }).map(([key, value]) => ({ key, value })),
  }));
  for (const file of new Set(places.map((place) => place.file))) {
    const size =
      Math.max(...places.filter((place) => place.file === file).map(({ offset = 0 }) => offset)) + COUNT * 4 + 1024;
    const data = Buffer.alloc(size, 0xab);
    for (const [index, place] of places.entries()) {
      if (place.file === file) data.set(raw(ramp(COUNT).map((value) => value + index / 8)), place.offset ?? 0);
    }
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), data);
  }
  const node = places.map((_, index) => ({ opType: 'MatMul', input: ['x', `w${index}`], output: [`y${index}`] }));
  return saved(modelWith({ initializer, node }), folder);
}

const entriesOf = (path: string) =>
  fromBinary(ModelProtoSchema, readFileSync(path)).graph?.initializer.map(({ externalData }) =>
    Object.fromEntries(externalData.map(({ key, value }) => [key, value])),
  );

async function pruned(path: string, output: string): Promise<void> {
  const expected = prunedReference(weightsOf(path), 0.5);
  await prune(path, { output, ratio: 0.5 });
  expect(weightsOf(output)).toEqual(expected);
}

test('one file keeps its layout', async () => {
  const path = externalModel([{ file: 'd.bin' }, { file: 'd.bin', offset: 512, more: { length: '256' } }]);
  const output = join(temporaryFolder(), 'out.onnx');
  await pruned(path, output);
  expect(entriesOf(output)).toEqual([
    { location: 'out.onnx.data' },
    { location: 'out.onnx.data', offset: '512', length: '256' },
  ]);
  const [before, after] = [readFileSync(join(dirname(path), 'd.bin')), readFileSync(`${output}.data`)];
  expect(after.subarray(768).equals(before.subarray(768))).toBe(true);
  expect(after.subarray(256, 512).equals(before.subarray(256, 512))).toBe(true);
  expect(after).toHaveLength(before.length);
});

test('several files become one, aligned; a checksum that is no longer true goes', async () => {
  const path = externalModel([
    { file: 'a.bin', more: { checksum: '0123' } },
    { file: 'sub/b.bin' },
    { file: 'a.bin', offset: 256 },
    { file: './sub/b.bin', offset: 300 },
  ]);
  const output = join(temporaryFolder(), 'out.onnx');
  await pruned(path, output);
  expect(entriesOf(output)).toEqual([
    { location: 'out.onnx.data' },
    { location: 'out.onnx.data', offset: '4096' },
    { location: 'out.onnx.data', offset: '256' },
    { location: 'out.onnx.data', offset: '4396' },
  ]);
});

describe('in place', () => {
  test('with data under the name of the output', async () => {
    const path = externalModel([{ file: 'model.onnx.data' }]);
    const before = readFileSync(path);
    await pruned(path, path);
    expect(readdirSync(dirname(path)).sort()).toEqual(['model.onnx', 'model.onnx.data']);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test('with data under another name, which stays as it was', async () => {
    const path = externalModel([{ file: 'd.bin' }]);
    const before = readFileSync(join(dirname(path), 'd.bin'));
    await pruned(path, path);
    expect(readFileSync(join(dirname(path), 'd.bin')).equals(before)).toBe(true);
    expect(entriesOf(path)).toEqual([{ location: 'model.onnx.data' }]);
  });

  test('with a new layout under the name of a source: the data gets a fresh name', async () => {
    const path = externalModel([{ file: 'model.onnx.data' }, { file: 'other.bin' }]);
    const before = readFileSync(`${path}.data`);
    await pruned(path, path);
    expect(entriesOf(path)?.[0]).toEqual({ location: 'model.onnx.1.data' });
    expect(readFileSync(`${path}.data`).equals(before)).toBe(true);
  });
});

test('the data of the input is never replaced by that of another output', async () => {
  const path = externalModel([{ file: 'b.onnx.data' }]);
  const before = readFileSync(join(dirname(path), 'b.onnx.data'));
  await pruned(path, join(dirname(path), 'b.onnx'));
  expect(readFileSync(join(dirname(path), 'b.onnx.data')).equals(before)).toBe(true);
  expect(existsSync(join(dirname(path), 'b.onnx.1.data'))).toBe(true);
});

test('an output that is the data file is refused', async () => {
  const path = externalModel([{ file: 'd.bin' }]);
  const promise = prune(path, { output: join(dirname(path), 'd.bin'), ratio: 0.5 });
  await expect(promise).rejects.toMatchObject({ code: 'INVALID_OPTION', fields: { option: 'output' } });
});

describe('tensors that share bytes', () => {
  test('all: the first is pruned, the second named', async () => {
    const path = externalModel([{ file: 'd.bin' }, { file: 'd.bin' }]);
    const report = await prune(path, { output: join(temporaryFolder(), 'o.onnx'), ratio: 0.5 });
    expect(report.tensors.map(({ name }) => name)).toEqual(['w0']);
    expect(report.skipped).toEqual([{ name: 'w1', reason: 'shares its bytes with w0' }]);
  });

  test('with one that is not pruned: none is', async () => {
    const path = externalModel([{ file: 'd.bin' }, { file: 'd.bin' }, { file: 'd.bin', offset: 256 }]);
    const report = await prune(path, { output: join(temporaryFolder(), 'o.onnx'), ratio: 0.5, exclude: ['w1'] });
    expect(report.tensors.map(({ name }) => name)).toEqual(['w2']);
    expect(report.skipped).toContainEqual({ name: 'w0', reason: 'shares its bytes with w1, which is not pruned' });
  });

  test('some: refused', async () => {
    const path = externalModel([{ file: 'd.bin' }, { file: 'd.bin', offset: 128 }]);
    const promise = prune(path, { output: join(temporaryFolder(), 'o.onnx'), ratio: 0.5 });
    await expect(promise).rejects.toMatchObject({ code: 'INVALID_MODEL', fields: { tensor: 'w1' } });
  });
});

test('a model that is a link into another folder is read, its data out there is not', async () => {
  const path = externalModel([{ file: 'd.bin' }]);
  const folder = temporaryFolder();
  symlinkSync(path, join(folder, 'model.onnx'));
  symlinkSync(join(dirname(path), 'd.bin'), join(folder, 'd.bin'));
  const promise = prune(join(folder, 'model.onnx'), { output: join(folder, 'o.onnx'), ratio: 0.5 });
  await expect(promise).rejects.toMatchObject({ code: 'EXTERNAL_DATA', message: expect.stringContaining('cp -L') });
  expect(readdirSync(folder).sort()).toEqual(['d.bin', 'model.onnx']);
  const hard = temporaryFolder();
  linkSync(path, join(hard, 'model.onnx'));
  linkSync(join(dirname(path), 'd.bin'), join(hard, 'd.bin'));
  await pruned(join(hard, 'model.onnx'), join(hard, 'o.onnx'));
});
