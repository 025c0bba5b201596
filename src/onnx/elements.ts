// The elements of a tensor as JavaScript numbers and back. 64-bit integers above 2^53 lose their last bits.
import { TensorProto_DataType as DataType } from './schema/onnx_pb.js';

/** Elements as numbers, row-major. */
export type Elements = Float32Array | Float64Array | Int32Array | Uint8Array | Int8Array;

/** The element types that can be decoded and encoded as floats. */
const floatTypes: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.DOUBLE, DataType.FLOAT16, DataType.BFLOAT16]);

/** Whether elements of this ONNX data type are floats of 16 bits or more. */
export function isFloat(dataType: number): boolean {
  return floatTypes.has(dataType);
}

/** Numbers from raw little-endian bytes. Undefined for types that do not become numbers, such as strings. */
export function decodeElements(dataType: number, bytes: Uint8Array): Elements | undefined {
  switch (dataType) {
    case DataType.FLOAT:
      return new Float32Array(aligned(bytes, 4), 0, bytes.byteLength / 4);
    case DataType.DOUBLE:
      return new Float64Array(aligned(bytes, 8), 0, bytes.byteLength / 8);
    case DataType.FLOAT16:
      return Float32Array.from(new Uint16Array(aligned(bytes, 2), 0, bytes.byteLength / 2), halfToNumber);
    case DataType.BFLOAT16:
      return upperHalves(new Uint16Array(aligned(bytes, 2), 0, bytes.byteLength / 2));
    case DataType.INT64:
      return Float64Array.from(new BigInt64Array(aligned(bytes, 8), 0, bytes.byteLength / 8), Number);
    case DataType.INT32:
      return new Int32Array(aligned(bytes, 4), 0, bytes.byteLength / 4);
    case DataType.INT8:
      return new Int8Array(aligned(bytes, 1), 0, bytes.byteLength);
    case DataType.UINT8:
    case DataType.BOOL:
      return new Uint8Array(aligned(bytes, 1), 0, bytes.byteLength);
    default:
      return undefined;
  }
}

/** Raw bytes of a float type, rounded to nearest; undefined for other types. */
export function encodeFloats(dataType: number, values: Float64Array): Uint8Array | undefined {
  if (dataType === DataType.DOUBLE) return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (!isFloat(dataType)) return undefined;
  const floats = Float32Array.from(values);
  if (dataType === DataType.FLOAT) return new Uint8Array(floats.buffer);
  const bits = new Uint32Array(floats.buffer);
  const narrow = dataType === DataType.FLOAT16 ? numberToHalf : roundedUpperHalf;
  return new Uint8Array(Uint16Array.from(bits, narrow).buffer);
}

/** The bytes from the beginning of a buffer or at a multiple of the width, copied where they lie otherwise. */
function aligned(bytes: Uint8Array, width: number): ArrayBuffer {
  const whole = bytes.byteOffset === 0 && bytes.buffer instanceof ArrayBuffer && bytes.byteLength % width === 0;
  return whole ? (bytes.buffer as ArrayBuffer) : new Uint8Array(bytes).buffer;
}

function upperHalves(bits: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(bits, (half) => half * 65536).buffer);
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** A float32's bits to float16's, to nearest, ties to even. */
function numberToHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  const exponent = (magnitude >>> 23) - 112;
  // Below float16's normal numbers the unit is fixed at 2^-24.
  if (exponent <= 0) return sign | roundHalfEven(new Float32Array(Uint32Array.of(magnitude).buffer)[0] ?? 0);
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1) - 112 * 2 ** 23;
  return sign | Math.min(rounded >>> 13, 0x7c00);
}

function roundHalfEven(value: number): number {
  const units = value * 2 ** 24;
  const low = Math.floor(units);
  const rest = units - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

function roundedUpperHalf(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
