// By how much outputs of two models differ, and whether that is more than rounding. Integers and strings are not
// compared: where numbers are rounded, an index that is chosen by them may be another one.
import { elementType } from '../onnx/dtypes.js';
import { decodeElements, type Elements } from '../onnx/elements.js';
import { TensorProto_DataType as DataType, type ModelProto } from '../onnx/schema/onnx_pb.js';
import { tensorsOf } from '../onnx/tensors.js';
import type { RuntimeTensor } from '../runtime/session.js';

const TOLERANCE = 1e-3;
/** Where sums that are folded are rounded to few bits, or to another step of a quantised activation. */
const COARSE_TOLERANCE = 3e-2;
/** Numbers as small as this are rounding of larger ones that cancel out. */
const SMALLEST = 1e-5;
const ADVICE = 'nothing was written; please report this as a bug of Secateur, with the model';

/** How far outputs may differ, in parts of the largest number of each. */
export function toleranceOf(model: ModelProto): number {
  const coarse = [...tensorsOf(model)].some(({ dataType }) => {
    const { quantised } = elementType(dataType);
    return quantised || dataType === DataType.FLOAT16 || dataType === DataType.BFLOAT16;
  });
  return coarse ? COARSE_TOLERANCE : TOLERANCE;
}

export interface Difference {
  /** The largest absolute difference; null where there is no finite float. */
  difference: number | null;
  /** The largest absolute number that was compared. */
  largest: number | null;
  /** What is not the same; undefined where all differences are within the tolerance. */
  unequal?: string;
}

type Tensors = Readonly<Record<string, RuntimeTensor>>;

/** Over all outputs of floats. Numbers that are not finite in `wanted` are not compared. */
export function differenceOf(wanted: Tensors, got: Tensors, tolerance: number): Difference {
  const total: Difference = { difference: null, largest: null };
  for (const [name, tensor] of Object.entries(wanted)) {
    const other = got[name];
    const [shape, otherShape] = [tensor.dims.join(' x '), other?.dims.join(' x ')];
    if (other === undefined || shape !== otherShape) {
      const now = other === undefined ? 'none' : `[${otherShape}]`;
      return { ...total, unequal: `Expected output ${name} of the new model to be [${shape}], got ${now}; ${ADVICE}` };
    }
    const own = differenceOfNumbers(numbersOf(tensor), numbersOf(other));
    if (own === undefined) continue;
    total.difference = Math.max(total.difference ?? 0, own.difference);
    total.largest = Math.max(total.largest ?? 0, own.largest);
    const most = own.largest * tolerance + SMALLEST;
    if (own.difference > most) {
      const expected = `Expected output ${name} of the new model to differ by at most ${most.toPrecision(3)}`;
      return { ...total, unequal: `${expected}, got ${own.difference.toPrecision(3)}; ${ADVICE}` };
    }
  }
  return total;
}

function differenceOfNumbers(
  wanted: Elements | undefined,
  got: Elements | undefined,
): { difference: number; largest: number } | undefined {
  if (wanted === undefined || got === undefined) return undefined;
  let [difference, largest, any] = [0, 0, false];
  for (let index = 0; index < wanted.length; index++) {
    const [value, other] = [wanted[index] ?? Number.NaN, got[index] ?? Number.NaN];
    if (!Number.isFinite(value)) continue;
    any = true;
    largest = Math.max(largest, Math.abs(value));
    difference = Math.max(difference, Number.isFinite(other) ? Math.abs(value - other) : Number.POSITIVE_INFINITY);
  }
  return any ? { difference, largest } : undefined;
}

/** The elements of a tensor of floats. */
function numbersOf({ data, type }: RuntimeTensor): Elements | undefined {
  if (data instanceof Float32Array || data instanceof Float64Array) return data;
  if (type !== 'float16') return undefined;
  // Where JavaScript has no Float16Array, they come as bits.
  if (!(data instanceof Uint16Array)) return Float32Array.from(data as Iterable<number>);
  return decodeElements(DataType.FLOAT16, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}
