// Files that are not sound models: one sentence and a code, never a crash, a hang or another error.
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { SecateurError } from '../../src/errors.js';
import { FileSource } from '../../src/onnx/file-source.js';
import { loadFrom, readModel } from '../../src/onnx/load.js';
import { ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { MemorySource } from '../../src/onnx/wire.js';
import { bytesField, modelWith, ramp, raw, saved, tag, temporaryFolder, varint } from './helpers.js';

const latin1 = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));

/** What reading gives: 'ok' or the error's code. Anything but a SecateurError fails the test. */
function outcome(bytes: Uint8Array): string {
  try {
    loadFrom(new MemorySource(bytes));
    return 'ok';
  } catch (error) {
    if (error instanceof SecateurError) return error.code;
    throw error;
  }
}

function messageOf(bytes: Uint8Array): string {
  try {
    loadFrom(new MemorySource(bytes, 'm.onnx'));
    return 'ok';
  } catch (error) {
    return error instanceof SecateurError ? `${error.code}: ${error.message}` : String(error);
  }
}

describe('not ONNX', () => {
  test.each([
    ['', 'the file is empty'],
    ['hello, this is no model\n', 'it is a text file'],
    ['\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'it is a PNG image'],
    ['PK\x03\x04\x14\0\0\0', 'it is a ZIP archive, perhaps a PyTorch checkpoint: export it to ONNX first'],
    [
      'version https://git-lfs.github.com/spec/v1\noid',
      'it is a Git LFS pointer: fetch the file itself with `git lfs pull`',
    ],
    ['\x10\0\0\0\0\0\0\0{"a":{"dtype":"F32"}}', 'it is a safetensors file: export the model to ONNX first'],
    ['\x08\x08', 'it has no graph'],
    ['\x3a\0', 'it names neither an IR version nor an operator set'],
  ])('%j', (text, problem) => {
    expect(messageOf(latin1(text))).toBe(`INVALID_MODEL: Expected m.onnx to be an ONNX model, but ${problem}`);
  });

  test('a folder, a missing file, a file in a file, a link to nothing', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'folder.onnx'));
    writeFileSync(join(folder, 'file'), 'x');
    symlinkSync('nothing', join(folder, 'link.onnx'));
    const failure = (name: string) => {
      try {
        return readModel(join(folder, name)) && 'ok';
      } catch (error) {
        return error instanceof SecateurError ? [error.code, error.fields.errno] : error;
      }
    };
    expect(failure('folder.onnx')).toEqual(['INVALID_MODEL', undefined]);
    expect(failure('missing.onnx')).toEqual(['IO', 'ENOENT']);
    expect(failure('file/m.onnx')).toEqual(['IO', 'ENOTDIR']);
    expect(failure('link.onnx')).toEqual(['IO', 'ENOENT']);
  });
});

describe('damaged', () => {
  const attribute = { name: 'value', type: 4, t: { dims: [2n], dataType: 1, floatData: [1, 2] } };
  const branch = { name: 'then_branch', type: 5, g: { initializer: [{ name: 'v', dims: [1n], int32Data: [5] }] } };
  const model = modelWith({
    name: 'g',
    node: [
      { opType: 'Constant', output: ['c'], attribute: [attribute] },
      { opType: 'If', attribute: [branch] },
    ],
    initializer: [
      { name: 'w', dims: [3n, 100n], dataType: 1, rawData: raw(ramp(300)) },
      { name: 'x', dims: [1n], dataType: 1, dataLocation: 1, externalData: [{ key: 'location', value: 'd' }] },
    ],
  });
  const bytes = toBinary(ModelProtoSchema, model);

  test('truncated anywhere', () => {
    expect(outcome(bytes)).toBe('ok');
    for (let length = 0; length < bytes.length; length++) {
      const result = outcome(bytes.subarray(0, length));
      expect(['INVALID_MODEL', 'ok'], `after ${length} bytes`).toContain(result);
      // Whole fields can be missing, but a graph that is cut must be noticed.
      if (result === 'ok') expect(() => fromBinary(ModelProtoSchema, bytes.subarray(0, length))).not.toThrow();
    }
  });

  test('any byte changed', () => {
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0, 0x7f, 0x80, 0xff, (bytes[at] ?? 0) ^ 1, (bytes[at] ?? 0) ^ 4]) {
        const changed = bytes.slice();
        changed[at] = value;
        expect(['INVALID_MODEL', 'ok']).toContain(outcome(changed));
      }
    }
  });

  test.each([
    ['a length beyond 2 GiB', [...tag(7, 2), ...varint(2 ** 31 + 5)]],
    ['a length beyond 2^53', [...tag(7, 2), ...varint(2n ** 63n)]],
    ['a negative length', [...tag(7, 2), ...varint(-1n)]],
    ['a varint without end', [...tag(1, 0), ...Array.from({ length: 12 }, () => 0xff)]],
    ['a group without end', tag(99, 3)],
    ['groups without number', Array.from({ length: 200 }, () => tag(99, 3)).flat()],
    ['the end of no group', tag(99, 4)],
    ['an unknown wire type', [...tag(99, 6), 1]],
    ['field number zero', [0x02, 0x00]],
    ['a graph that is a number', [...tag(7, 0), 5]],
    ['packed floats that are cut', bytesField(7, bytesField(5, bytesField(4, [1, 2, 3])))],
    ['a tensor that is longer than its graph', bytesField(7, [...tag(5, 2), 50, 1, 2])],
  ])('%s', (_, body) => {
    expect(outcome(Uint8Array.from([...tag(1, 0), 8, ...body]))).toBe('INVALID_MODEL');
  });

  test.each([
    ['graphs', (body: number[]) => bytesField(1, bytesField(5, bytesField(6, body)))],
    ['types', (body: number[]) => bytesField(4, bytesField(1, body))],
  ])('nested %s', (kind, wrap) => {
    let body: number[] = [];
    for (let depth = 0; depth < (kind === 'graphs' ? 100 : 3000); depth++) body = wrap(body);
    const graph = kind === 'graphs' ? body : bytesField(11, bytesField(2, body));
    const result = outcome(Uint8Array.from([...tag(1, 0), 8, ...bytesField(7, graph)]));
    expect(kind === 'graphs' ? ['INVALID_MODEL'] : ['INVALID_MODEL', 'ok']).toContain(result);
  });
});

test('a file that shrinks while it is read', () => {
  const path = saved(modelWith({ name: 'x'.repeat(5000) }));
  const source = new FileSource(path);
  truncateSync(path, 100);
  try {
    expect(() => loadFrom(source)).toThrowError(expect.objectContaining({ code: 'FILE_CHANGED' }));
  } finally {
    source.close();
  }
});
