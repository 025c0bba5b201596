// NumPy's array files, by bytes written here after the format's description.
import { describe, expect, test } from 'vitest';
import { parseNpy } from '../../src/data/npy.js';
import { failure, npy } from './helpers.js';

describe('types and shapes', () => {
  test.each([
    ["'<f4'", Float32Array.of(1.5, -2)],
    ["'<f8'", Float64Array.of(1e300, -0)],
    ["'<i8'", BigInt64Array.of(-(2n ** 62n), 5n)],
    ["'<i4'", Int32Array.of(-7, 2 ** 30)],
    ["'|u1'", Uint8Array.of(0, 255)],
    ["'|b1'", Uint8Array.of(0, 1)],
  ])('%s', (descriptor, data) => {
    const parsed = parseNpy(npy(descriptor, '(1, 2)', data), 'a.npy');
    expect(parsed).toEqual({ shape: [1, 2], data });
  });

  test('at any position in memory, for all versions, without a copy of what follows', () => {
    const bytes = npy("'<f8'", '(2,)', Float64Array.of(1, 2));
    const moved = new Uint8Array(bytes.length + 3);
    moved.set(bytes, 3);
    expect(parseNpy(moved.subarray(3), 'a.npy').data).toEqual(Float64Array.of(1, 2));
    const second = Buffer.concat([bytes.subarray(0, 10), Uint8Array.of(0, 0), bytes.subarray(10)]);
    second[6] = 2;
    expect(parseNpy(second, 'a.npy').data).toEqual(Float64Array.of(1, 2));
  });

  test('scalars, empty arrays and vectors in Fortran order', () => {
    expect(parseNpy(npy("'<f4'", '()', Float32Array.of(3)), 'a.npy').shape).toEqual([]);
    expect(parseNpy(npy("'<f4'", '(0, 3)', Float32Array.of()), 'a.npy').shape).toEqual([0, 3]);
    expect(parseNpy(npy("'<f4'", '(1, 2)', Float32Array.of(1, 2), 'True'), 'a.npy').data.length).toBe(2);
  });
});

describe('refused', () => {
  const data = Float32Array.of(1, 2, 3, 4);
  test.each([
    [npy("'<f4'", '(2, 2)', data, 'True'), /^UNSUPPORTED: .*Fortran order: save it through numpy.ascontiguousarray/],
    [npy("'|O'", '(2, 2)', data), /^UNSUPPORTED: .*it holds Python objects/],
    [npy("'>f4'", '(2, 2)', data), /^UNSUPPORTED: .*it holds ">f4"/],
    [npy("'<f2'", '(2, 2)', data), /^UNSUPPORTED: .*it holds "<f2"/],
    [npy("'<U3'", '(2, 2)', data), /^UNSUPPORTED: .*it holds "<U3"/],
    [npy("[('a', '<f4')]", '(4,)', data), /^UNSUPPORTED: .*it holds "a record"/],
    [npy("'<f4'", '(2, 3)', data), /^INVALID_DATA: .*cut short: 24 bytes of data expected, 16 found/],
    [npy("'<f4'", '(3,)', data), /^INVALID_DATA: .*longer than its header says/],
    [npy("'<f4'", '(99999999999, 99999999999)', data), /^INVALID_DATA: .*is too large/],
    [npy("'<f4'", '(2, x)', data), /^INVALID_DATA: .*its header cannot be read/],
    [npy("'<f4'", '(4,)', data).subarray(0, 40), /^INVALID_DATA: .*it ends inside its header/],
    [npy("'<f4'", '(4,)', data).subarray(0, 9), /^INVALID_DATA: .*it ends inside its header/],
    [Buffer.from('PK\x03\x04'), /^INVALID_DATA: .*it does not begin as one/],
  ])('%#', async (bytes, message) => {
    expect(await failure(() => parseNpy(bytes, 'a.npy'))).toMatch(message);
  });
});
