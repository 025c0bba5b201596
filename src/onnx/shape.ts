// A tensor's shape and size from untrusted fields.

import { SecateurError } from '../errors.js';
import type { TensorProto } from './schema/onnx_pb.js';

/** The dimensions of a tensor and their product. A scalar has no dimensions and one element. */
export interface TensorShape {
  dims: number[];
  elements: number;
}

/** Beyond any file. Below it, all products with widths and offsets are exact. */
const MAX_ELEMENTS = 2 ** 48;

/**
 * The shape that a TensorProto says it has.
 *
 * @param name Names the tensor in the error.
 * @throws SecateurError INVALID_MODEL where a dimension is negative or the number of elements is above 2^48.
 */
export function shapeOf(tensor: TensorProto, name: string): TensorShape {
  const dims = tensor.dims.map(Number);
  const elements = dims.includes(0) ? 0 : dims.reduce((product, dim) => product * dim, 1);
  if (dims.some((dim) => dim < 0) || elements > MAX_ELEMENTS) {
    const shown = dims.length > 8 ? `${dims.slice(0, 8).join(', ')}, ...` : dims.join(', ');
    const what = `Expected tensor ${name} to have a possible shape, got [${shown}]`;
    throw new SecateurError('INVALID_MODEL', what, { tensor: name });
  }
  return { dims, elements };
}
