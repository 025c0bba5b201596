// NumPy's array files: `.npy` (one array) and `.npz` (a ZIP of them). Little-endian arrays in C order of the types that
// training data come in; everything else is refused with a sentence. Nothing is ever unpickled.

import { type UnzipFileInfo, unzipSync } from 'fflate';
import { SecateurError } from '../errors.js';
import { elementsOf, invalidData } from './dataset.js';

/** The typed arrays of the supported types. */
export type NpyData = Float32Array | Float64Array | BigInt64Array | Int32Array | Uint8Array;

/** One array: row-major, in memory of its own. */
export interface NpyArray {
  shape: number[];
  data: NpyData;
}

type NpyType = 'f4' | 'f8' | 'i8' | 'i4' | 'u1' | 'b1';

const WANTED = 'a NumPy array (.npy)';
const MAGIC = '\x93NUMPY';

const make: Record<NpyType, (bytes: ArrayBuffer) => NpyData> = {
  f4: (bytes) => new Float32Array(bytes),
  f8: (bytes) => new Float64Array(bytes),
  i8: (bytes) => new BigInt64Array(bytes),
  i4: (bytes) => new Int32Array(bytes),
  u1: (bytes) => new Uint8Array(bytes),
  b1: (bytes) => new Uint8Array(bytes),
};

/**
 * The array in the bytes of a `.npy` file: float32, float64, int64, int32, uint8 or bool (as uint8).
 *
 * @param path for error messages.
 * @throws SecateurError INVALID_DATA where it is no `.npy` file or has another length than its header says; UNSUPPORTED
 *   for other types, big-endian numbers, Fortran order and Python objects.
 */
export function parseNpy(bytes: Uint8Array, path: string): NpyArray {
  const { header, start } = splitNpy(bytes, path);
  const { type, shape } = parseHeader(header, path);
  const width = Number(type[1]);
  const expected = elementsOf(shape) * width;
  if (bytes.length - start !== expected) {
    const what = bytes.length - start < expected ? 'it is cut short' : 'it is longer than its header says';
    throw invalidData(path, WANTED, `${what}: ${expected} bytes of data expected, ${bytes.length - start} found`);
  }
  // A copy: the position in the file need not be a multiple of the width.
  const elements = new ArrayBuffer(expected);
  new Uint8Array(elements).set(bytes.subarray(start));
  return { shape, data: make[type](elements) };
}

function splitNpy(bytes: Uint8Array, path: string): { header: string; start: number } {
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC) throw invalidData(path, WANTED, 'it does not begin as one');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const major = bytes[6] ?? 0;
  if (major > 3)
    throw new SecateurError('UNSUPPORTED', `Expected ${path} to be of version 1 to 3 of .npy, got ${major}`, { path });
  const head = major === 1 ? 10 : 12;
  if (bytes.length < head) throw invalidData(path, WANTED, 'it ends inside its header');
  const start = head + (major === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (bytes.length < start) throw invalidData(path, WANTED, 'it ends inside its header');
  return { header: new TextDecoder().decode(bytes.subarray(head, start)), start };
}

/** The header is the text of a Python dictionary: `{'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), }`. */
function parseHeader(header: string, path: string): { type: NpyType; shape: number[] } {
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  const dims = /'shape':\s*\(([\d,\sL]*)\)/.exec(header)?.[1];
  const described = /'descr':\s*(?:'([^']*)'|(\[))/.exec(header);
  if (order === undefined || dims === undefined || described === null) {
    throw invalidData(path, WANTED, 'its header cannot be read');
  }
  const shape = (dims.match(/\d+/g) ?? []).map(Number);
  if (!Number.isSafeInteger(elementsOf(shape) * 8)) throw invalidData(path, WANTED, `its shape (${dims}) is too large`);
  const descriptor = described[1] ?? 'a record';
  const type = /^[<|=]?(f4|f8|i8|i4|u1|b1)$/.exec(descriptor)?.[1];
  if (!isNpyType(type)) {
    const problem = descriptor.endsWith('O') ? 'it holds Python objects' : `it holds ${JSON.stringify(descriptor)}`;
    throw unsupportedNpy(path, problem, 'save it with .astype of one of these types');
  }
  // With at most one axis longer than 1, both orders are the same bytes.
  if (order === 'True' && shape.filter((size) => size !== 1).length > 1) {
    throw unsupportedNpy(path, 'it is in Fortran order', 'save it through numpy.ascontiguousarray');
  }
  return { type, shape };
}

function isNpyType(type: string | undefined): type is NpyType {
  return type !== undefined && Object.hasOwn(make, type);
}

function unsupportedNpy(path: string, problem: string, remedy: string): SecateurError {
  const wanted = 'a little-endian array of float32, float64, int64, int32, uint8 or bool in C order';
  return new SecateurError('UNSUPPORTED', `Expected ${path} to hold ${wanted}, but ${problem}: ${remedy}`, { path });
}

/** Deflate makes nothing smaller by more than this; a member that says so is a bomb or damaged. */
const MAX_DEFLATE_RATIO = 1040;
/** Bytes of an entry in a ZIP's directory, at least. */
const MIN_ENTRY_BYTES = 46;

/**
 * The arrays of a `.npz` file that `wanted` names, by name without `.npy`. Only these are inflated.
 *
 * @param wanted is asked once for every name in the file.
 * @throws SecateurError as {@link parseNpy}; INVALID_DATA where it is not a whole ZIP.
 */
export function parseNpz(bytes: Uint8Array, path: string, wanted: (name: string) => boolean): Map<string, NpyArray> {
  const arrays = new Map<string, NpyArray>();
  for (const [file, member] of Object.entries(inflateMembers(bytes, path, wanted))) {
    arrays.set(nameOf(file), parseNpy(member, `${path}:${file}`));
  }
  return arrays;
}

function nameOf(file: string): string {
  return file.replace(/\.npy$/, '');
}

function inflateMembers(
  bytes: Uint8Array,
  path: string,
  wanted: (name: string) => boolean,
): Record<string, Uint8Array> {
  let entries = 0;
  const filter = ({ name, size, originalSize }: UnzipFileInfo): boolean => {
    if (++entries * MIN_ENTRY_BYTES > bytes.length) throw new Error('its directory is longer than the file');
    if (!wanted(nameOf(name))) return false;
    if (originalSize > size * MAX_DEFLATE_RATIO || size > bytes.length)
      throw new Error(`${name} has an impossible size`);
    return true;
  };
  try {
    return unzipSync(bytes, { filter });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw invalidData(path, 'a NumPy archive (.npz)', `it is damaged or cut short (${why})`, error);
  }
}
