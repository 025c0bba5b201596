// Values of the graph as compaction sees them: shape, atoms, and what is known to be constant.
import type { Elements } from '../onnx/elements.js';
import type { Shape } from '../onnx/infer/shape.js';
import { TensorProto_DataType as DataType, type TensorProto } from '../onnx/schema/onnx_pb.js';

/** An initializer or a Constant, perhaps seen through Identity, Cast and Transpose. */
export interface ConstantData {
  tensor: TensorProto;
  /** Axis of the value to axis of the tensor as it is stored. */
  permutation: readonly number[];
  /** Its own tensor, not one that Identity, Cast or Transpose has handed on. */
  direct: boolean;
  /** How many inputs, outputs and subgraphs of the graph name the tensor. */
  uses: number;
  /** Row-major, as stored. Large ones are read anew at each call. Undefined where they are no numbers. */
  elements(): Elements | undefined;
}

/** A value of the graph, or one use of a constant vector. */
export interface Value {
  /** '' for a constant that compaction makes. */
  readonly name: string;
  readonly shape: Shape | undefined;
  /** ONNX data type; 0 where unknown. */
  readonly type: number;
  /** The first atom of each axis; -1 where the axis cannot shrink: of unknown length, or of length 1. */
  readonly atoms: readonly number[];
  /**
   * By axis: the number that the whole slice at an index is equal to, NaN where that is not known. Undefined where
   * nothing is known along that axis.
   */
  readonly constants: (Float64Array | undefined)[];
  /** Depends on no input of the graph. */
  readonly constant: boolean;
  readonly data: ConstantData | undefined;
  /** A constant that compaction makes: the axis along which its `constants` lie. */
  readonly literalAxis?: number;
}

/** The length of an axis; 0 where it is unknown. */
export function lengthOf(value: Value, axis: number): number {
  const dim = value.shape?.[axis];
  return typeof dim === 'number' ? dim : 0;
}

/** The one number that all of a value is equal to; NaN where that is not known. */
export function wholeOf(value: Value): number {
  if (value.shape?.length === 0) return value.data?.elements()?.[0] ?? Number.NaN;
  for (const axis of value.shape?.keys() ?? []) {
    const [first = Number.NaN, ...rest] = constantsOf(value, axis) ?? [];
    if (!Number.isNaN(first) && rest.every((other) => other === first)) return first;
  }
  return Number.NaN;
}

/** `constants[axis]`; for data, found on demand. */
export function constantsOf(value: Value, axis: number): Float64Array | undefined {
  const known = value.constants[axis];
  if (known !== undefined || value.data === undefined || axis < 0) return known;
  const { tensor, permutation } = value.data;
  const elements = value.data.elements();
  const stored = permutation[axis];
  if (elements === undefined || stored === undefined) return undefined;
  const found = uniformSlices(elements, tensor.dims.map(Number), stored);
  value.constants[axis] = found;
  return found;
}

/** Whether every slice along some axis is a known number; that axis, or -1. */
export function constantAxis(value: Value): number {
  return value.constants.findIndex((known) => known?.every((number) => !Number.isNaN(number)) === true);
}

/** A number in the precision of a type: single, unless it is double. */
export function rounded(value: number, type: number): number {
  const number = type === DataType.DOUBLE ? value : Math.fround(value);
  return Number.isFinite(number) ? number : Number.NaN;
}

/** What each slice along an axis is equal to; NaN where it has different elements or is not finite. */
export function uniformSlices(elements: Elements, dims: readonly number[], axis: number): Float64Array {
  const length = dims[axis] ?? 0;
  const inner = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const found = new Float64Array(length);
  for (let index = 0; index < length; index++) found[index] = elements[index * inner] ?? Number.NaN;
  for (let start = 0; start < elements.length; start += length * inner) {
    for (let index = 0; index < length; index++) {
      const first = found[index];
      const from = start + index * inner;
      for (let at = from; at < from + inner; at++) if (elements[at] !== first) found[index] = Number.NaN;
    }
  }
  return found.map((value) => (Number.isFinite(value) ? value : Number.NaN));
}
