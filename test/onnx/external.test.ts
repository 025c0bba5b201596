// External data: what is read, and what is refused because it leaves the model's folder or contradicts the shape.
import { linkSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, test } from 'vitest';
import { SecateurError } from '../../src/errors.js';
import { ExternalFiles, type ExternalRange } from '../../src/onnx/external.js';
import { readModel } from '../../src/onnx/load.js';
import { materialize } from '../../src/onnx/payload.js';
import { type TensorProto, TensorProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { modelWith, saved, temporaryFolder } from './helpers.js';

let folder: string;
let model: string;
beforeEach(() => {
  const root = temporaryFolder();
  folder = join(root, 'models');
  mkdirSync(join(folder, 'sub'), { recursive: true });
  model = saved(modelWith({}), folder);
  writeFileSync(join(root, 'secret'), new Uint8Array(100));
  for (const name of ['d.bin', 'sub/e.bin'])
    writeFileSync(
      join(folder, name),
      Uint8Array.from({ length: 100 }, (_, i) => i),
    );
});

function tensor(entries: Record<string, string> | [string, string][]): TensorProto {
  const pairs = Array.isArray(entries) ? entries : Object.entries(entries);
  const externalData = pairs.map(([key, value]) => ({ key, value }));
  return create(TensorProtoSchema, { name: 'w', dims: [10n], dataType: 1, dataLocation: 1, externalData });
}

function resolved(entries: Record<string, string> | [string, string][]): ExternalRange {
  return new ExternalFiles(model).resolve(tensor(entries), 'w', 40);
}

function refusal(entries: Record<string, string> | [string, string][]): string {
  try {
    resolved(entries);
  } catch (error) {
    if (error instanceof SecateurError && error.code === 'EXTERNAL_DATA') return error.message;
    throw error;
  }
  throw new Error('it was not refused');
}

test('defaults of offset and length', () => {
  const path = realpathSync(join(folder, 'd.bin'));
  expect(resolved({ location: 'd.bin' })).toEqual({ path, fileBytes: 100, location: 'd.bin', offset: 0, bytes: 40 });
  expect(resolved({ location: './sub/../d.bin'.replace('sub/../', ''), offset: '60' })).toMatchObject({
    path,
    offset: 60,
  });
  expect(resolved({ location: 'sub/e.bin', length: '40' }).path).toBe(realpathSync(join(folder, 'sub/e.bin')));
});

test.each([
  [{ location: '../secret' }, "in the model's folder"],
  [{ location: 'sub/../../secret' }, "in the model's folder"],
  [{ location: '..\\secret' }, "in the model's folder"],
  [{ location: '/etc/hostname' }, "in the model's folder"],
  [{ location: 'C:\\secret' }, "in the model's folder"],
  [{ location: 'missing.bin' }, 'got no such file'],
  [{ location: 'd.bin/x' }, 'got no such file'],
  [{ location: 'sub' }, 'regular file'],
  [{ location: '' }, 'name a file'],
  [{}, 'name a file'],
  [{ location: 'a\0b' }, 'name a file'],
  [{ location: 'model.onnx' }, 'outside the model file'],
  [{ location: 'd.bin', offset: '61' }, 'got a file of 100 bytes'],
  [{ location: 'd.bin', offset: '-1' }, 'got "-1"'],
  [{ location: 'd.bin', offset: '1e2' }, 'got "1e2"'],
  [{ location: 'd.bin', offset: '99999999999999999999' }, 'a number of bytes'],
  [{ location: 'd.bin', length: '39' }, 'got length 39'],
  [{ location: 'd.bin', length: '' }, 'a number of bytes'],
])('%j is refused', (entries, part) => {
  const message = refusal(entries as Record<string, string>);
  expect(message).toContain('tensor w');
  expect(message).toContain(part);
});

test('a key that comes twice is refused', () => {
  expect(
    refusal([
      ['location', 'd.bin'],
      ['location', 'sub/e.bin'],
    ]),
  ).toContain('got two');
});

describe('symbolic links', () => {
  test('inside the folder are followed', () => {
    symlinkSync('sub/e.bin', join(folder, 'inside'));
    expect(resolved({ location: 'inside' }).path).toBe(realpathSync(join(folder, 'sub/e.bin')));
    linkSync(join(folder, 'd.bin'), join(folder, 'hard'));
    expect(resolved({ location: 'hard' }).path).toBe(realpathSync(join(folder, 'hard')));
  });

  test('out of the folder are refused, with advice', () => {
    symlinkSync('../secret', join(folder, 'out'));
    expect(refusal({ location: 'out' })).toContain('`cp -L`');
    symlinkSync('..', join(folder, 'up'));
    expect(refusal({ location: 'up/secret' })).toContain('symbolic link');
  });

  test('of the model itself leave its folder where the link is', () => {
    const other = join(dirname(folder), 'links');
    mkdirSync(other);
    symlinkSync(model, join(other, 'model.onnx'));
    writeFileSync(join(other, 'd.bin'), new Uint8Array(100));
    const range = new ExternalFiles(join(other, 'model.onnx')).resolve(tensor({ location: 'd.bin' }), 'w', 40);
    expect(range.path).toBe(realpathSync(join(other, 'd.bin')));
  });
});

test('payloads come into memory', () => {
  const path = saved(modelWith({ initializer: [tensor({ location: 'd.bin', offset: '4' })] }), folder);
  const loaded = readModel(path);
  materialize(loaded);
  const [w] = loaded.model.graph?.initializer ?? [];
  expect(w?.rawData).toEqual(Uint8Array.from({ length: 40 }, (_, index) => index + 4));
  expect(w?.externalData).toEqual([]);
  expect(w?.dataLocation).toBe(0);
});
