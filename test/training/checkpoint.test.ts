// Training checkpoints in ONNX Runtime's format: the official tool's files, round trips, external data, and files that
// are damaged or hostile.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Builder } from 'flatbuffers';
import { afterAll, describe, expect, test } from 'vitest';
import { isSecateurError, SecateurError } from '../../src/errors.js';
import { decodeCheckpoint } from '../../src/training/checkpoint/decode.js';
import { encodeCheckpoint } from '../../src/training/checkpoint/encode.js';
import { readCheckpoint, writeCheckpoint } from '../../src/training/checkpoint/files.js';
import type { Checkpoint, CheckpointTensor } from '../../src/training/checkpoint/types.js';

const folder = mkdtempSync(join(tmpdir(), 'secateur-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const artifacts = join(import.meta.dirname, '../../../shared/ort-artifacts');

function floats(name: string, dims: number[], first = 0): CheckpointTensor {
  const count = dims.reduce((product, size) => product * size, 1);
  const values = Float32Array.from({ length: count }, (_, index) => first + index / 7);
  return { name, dims, dataType: 1, data: new Uint8Array(values.buffer) };
}

function sample(): Checkpoint {
  const counter = { name: 'counter', dims: [], dataType: 7, data: new Uint8Array(BigInt64Array.of(7n).buffer) };
  const words = { name: 'words', dims: [2], dataType: 8, data: new Uint8Array(0), strings: ['', 'naïve'] };
  const flags = { name: 'flags', dims: [3], dataType: 9, data: Uint8Array.of(1, 0, 1), docString: 'three' };
  const state = (name: string, dims: number[]) => ({
    parameter: name,
    momentums: [floats('momentum0', dims, 1), floats('momentum1', dims, 2)],
  });
  return {
    version: 2,
    trainable: [floats('fc1.weight', [4, 8]), floats('fc1.bias', [3]), floats('empty', [0, 4])],
    frozen: [counter, words, flags, floats('big', [40], 9)],
    nominal: false,
    optimizerGroups: [
      {
        name: 'group0',
        step: 12,
        initialLearningRate: 0.5,
        states: [state('fc1.weight', [4, 8]), state('fc1.bias', [3])],
      },
    ],
    properties: [
      { kind: 'int', name: 'epoch', value: -3n },
      { kind: 'int', name: 'zero', value: 0n },
      { kind: 'float', name: 'best', value: 0.25 },
      { kind: 'string', name: 'note', value: 'ünïcode' },
    ],
  };
}

/** Everything but where the bytes lie. */
function plain(checkpoint: Checkpoint) {
  const tensor = ({ data, ...rest }: CheckpointTensor) => ({ ...rest, data: Buffer.from(data).toString('base64') });
  return {
    ...checkpoint,
    trainable: checkpoint.trainable.map(tensor),
    frozen: checkpoint.frozen.map(tensor),
    optimizerGroups: checkpoint.optimizerGroups.map((group) => ({
      ...group,
      states: group.states.map((state) => ({ ...state, momentums: state.momentums.map(tensor) })),
    })),
  };
}

/** 'ok', or the code of the error; anything but a SecateurError fails the test. */
function outcome(bytes: Uint8Array): string {
  try {
    decodeCheckpoint(bytes);
    return 'ok';
  } catch (error) {
    if (error instanceof SecateurError) return error.code;
    throw error;
  }
}

async function failure(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'ok',
    (error) => (isSecateurError(error) ? `${error.code}: ${error.message}` : String(error)),
  );
}

describe('round trip', () => {
  test('every field comes back', () => {
    const { bytes, external } = encodeCheckpoint(sample());
    expect(external).toEqual([]);
    expect(plain(decodeCheckpoint(bytes))).toEqual(plain(sample()));
  });

  test('data can be read in place, whatever its type', () => {
    const { bytes } = encodeCheckpoint(sample());
    for (const { data, dataType } of decodeCheckpoint(bytes).frozen) {
      if (dataType !== 8) expect((data.byteOffset - bytes.byteOffset) % 8).toBe(0);
    }
  });

  test('an empty checkpoint', () => {
    const empty = { version: 2, trainable: [], frozen: [], nominal: false, optimizerGroups: [], properties: [] };
    expect(plain(decodeCheckpoint(encodeCheckpoint(empty).bytes))).toEqual(empty);
  });

  test('a nominal checkpoint has names and no data', () => {
    const name = { name: 'w', dims: [], dataType: 1, data: new Uint8Array(0) };
    const nominal = { version: 2, trainable: [name], frozen: [], nominal: true, optimizerGroups: [], properties: [] };
    expect(plain(decodeCheckpoint(encodeCheckpoint(nominal).bytes))).toEqual(plain(nominal));
    expect(outcome(encodeCheckpoint({ ...nominal, nominal: false }).bytes)).toBe('INVALID_DATA');
  });

  test('version 1 is read and written as version 2; later ones are refused', () => {
    const bytes = encodeCheckpoint(sample()).bytes.slice();
    const at = versionPosition(bytes);
    bytes[at] = 1;
    const old = decodeCheckpoint(bytes);
    expect(old.version).toBe(1);
    expect(plain(decodeCheckpoint(encodeCheckpoint(old).bytes))).toEqual(plain(sample()));
    bytes[at] = 3;
    expect(outcome(bytes)).toBe('UNSUPPORTED');
  });

  test('a name twice is refused', () => {
    const twice = { ...sample(), frozen: [floats('fc1.bias', [3])] };
    expect(outcome(encodeCheckpoint(twice).bytes)).toBe('INVALID_DATA');
  });
});

/** Where the root table's version lies. */
function versionPosition(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const root = view.getUint32(0, true);
  return root + view.getUint16(root - view.getInt32(root, true) + 4, true);
}

describe('files', () => {
  test('in one file', async () => {
    const path = join(folder, 'checkpoint');
    await writeCheckpoint(path, sample());
    expect(existsSync(`${path}.data`)).toBe(false);
    expect(plain(await readCheckpoint(path))).toEqual(plain(sample()));
  });

  test('with external data: aligned, small tensors inside', async () => {
    const path = join(folder, 'external');
    await writeCheckpoint(path, sample(), 100);
    // fc1.weight 128, big 160, two momentums of 128; the rest is smaller than 64 bytes or has no bytes.
    expect(readFileSync(`${path}.data`).length).toBe(128 + 160 + 128 + 128);
    expect(plain(await readCheckpoint(path))).toEqual(plain(sample()));
    expect(await failure(Promise.resolve().then(() => decodeCheckpoint(readFileSync(path))))).toMatch(
      /^EXTERNAL_DATA: .*"fc1.weight" is in a file beside it/,
    );
    truncateSync(`${path}.data`, 500);
    expect(await failure(readCheckpoint(path))).toMatch(
      /^EXTERNAL_DATA: .*to have at least 544 bytes for momentum1, got 500/,
    );
    rmSync(`${path}.data`);
    expect(await failure(readCheckpoint(path))).toMatch(/^EXTERNAL_DATA: .*cannot be read/);
  });

  test('64-bit integers lie at multiples of 8 of the data file', async () => {
    const path = join(folder, 'wide');
    const wide = { name: 'wide', dims: [9], dataType: 7, data: new Uint8Array(new BigInt64Array(9).fill(5n).buffer) };
    const checkpoint = { ...sample(), trainable: [floats('odd', [17])], frozen: [wide], optimizerGroups: [] };
    await writeCheckpoint(path, checkpoint, 0);
    expect(readFileSync(`${path}.data`).length).toBe(72 + 72);
    expect(plain(await readCheckpoint(path))).toEqual(plain(checkpoint));
  });

  test('what is no checkpoint', async () => {
    mkdirSync(join(folder, 'old'));
    writeFileSync(join(folder, 'text'), 'not a checkpoint');
    expect(await failure(readCheckpoint(join(folder, 'old')))).toMatch(/^UNSUPPORTED: .*got a folder/);
    expect(await failure(readCheckpoint(join(folder, 'none')))).toMatch(/^IO: .*there is no such file \(ENOENT\)/);
    expect(await failure(readCheckpoint(join(folder, 'text')))).toMatch(/^INVALID_DATA: .*ODTC is not at its byte 4/);
  });
});

describe('damaged', () => {
  test('every truncation is refused', () => {
    const { bytes } = encodeCheckpoint(sample());
    const accepted: number[] = [];
    // The builder puts the last-read bytes at the end: no shorter file is whole.
    for (let length = 0; length < bytes.length; length++) {
      if (outcome(bytes.subarray(0, length)) === 'ok') accepted.push(length);
    }
    expect(accepted.filter((length) => length < bytes.length - 8)).toEqual([]);
  });

  test('no changed byte does more than an error', () => {
    const { bytes } = encodeCheckpoint(sample());
    const codes = new Set<string>();
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0x00, 0x7f, 0xff, (bytes[at]! + 4) & 0xff]) {
        const changed = bytes.slice();
        changed[at] = value;
        codes.add(outcome(changed));
      }
    }
    expect([...codes].sort()).toEqual(['INVALID_DATA', 'UNSUPPORTED', 'ok']);
  });

  test('tables that share one big vector are not walked a million times', () => {
    expect(outcome(sharedVectors(3000))).toBe('INVALID_DATA');
  });
});

/** A file in which `count` states all point to one vector, which points `count` times to one tensor. */
function sharedVectors(count: number): Uint8Array {
  const builder = new Builder();
  const repeated = (offset: number) => {
    builder.startVector(4, count, 4);
    for (let index = 0; index < count; index++) builder.addOffset(offset);
    return builder.endVector();
  };
  builder.startObject(7);
  const tensor = builder.endObject();
  const momentums = repeated(tensor);
  builder.startObject(2);
  builder.addFieldOffset(1, momentums, 0);
  const states = repeated(builder.endObject());
  builder.startObject(4);
  builder.addFieldOffset(3, states, 0);
  const group = builder.endObject();
  const groups = repeated(group);
  builder.startObject(4);
  builder.addFieldInt32(0, 2, 0);
  builder.addFieldOffset(2, groups, 0);
  builder.finish(builder.endObject(), 'ODTC');
  return builder.asUint8Array();
}

describe.skipIf(!existsSync(artifacts))('checkpoints of the official tool (../shared/ort-artifacts)', () => {
  const expected: [path: string, version: number, trainable: Record<string, number[]>, frozen: number][] = [
    [
      'ms-testdata-mnist/checkpoint.ckpt',
      2,
      { 'fc1.weight': [500, 784], 'fc1.bias': [500], 'fc2.weight': [10, 500], 'fc2.bias': [10] },
      0,
    ],
    [
      'mnist-mlp-carzh/checkpoint',
      1,
      { 'fc1.weight': [500, 784], 'fc1.bias': [500], 'fc2.weight': [10, 500], 'fc2.bias': [10] },
      0,
    ],
  ];
  test.each(expected)('%s', async (file, version, shapes, frozen) => {
    const checkpoint = await readCheckpoint(join(artifacts, file));
    expect(checkpoint.version).toBe(version);
    expect(Object.fromEntries(checkpoint.trainable.map(({ name, dims }) => [name, dims]))).toEqual(shapes);
    expect(checkpoint.frozen.length).toBe(frozen);
    const again = decodeCheckpoint(encodeCheckpoint(checkpoint).bytes);
    expect(again.version).toBe(2);
    expect({ ...plain(again), version }).toEqual(plain(checkpoint));
  });

  test.each([
    'eeg-seizureguard/checkpoint',
    'ms-testdata-mnist/ort_format/checkpoint',
    'ms-testdata-mnist/nominal_checkpoint',
  ])('%s, and truncations of it', async (file) => {
    const checkpoint = await readCheckpoint(join(artifacts, file));
    expect(checkpoint.trainable.length).toBeGreaterThan(0);
    expect(checkpoint.nominal).toBe(file.includes('nominal'));
    if (file.startsWith('eeg')) expect(checkpoint.frozen.length).toBe(6);
    const again = decodeCheckpoint(encodeCheckpoint(checkpoint).bytes);
    expect({ ...plain(again), version: checkpoint.version }).toEqual(plain(checkpoint));
    const bytes = readFileSync(join(artifacts, file));
    for (let cut = 1; cut <= 200; cut++) outcome(bytes.subarray(0, Math.floor((bytes.length * cut) / 201)));
    expect(outcome(bytes.subarray(0, bytes.length / 2))).toBe('INVALID_DATA');
  });
});
