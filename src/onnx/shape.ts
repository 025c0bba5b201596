// A tensor's shape and size from untrusted fields.

import { SecateurError } from '../errors.js';
import type { TensorProto } from './schema/onnx_pb.js';

/** The dimensions of a tensor and their product. A scalar has no dimensions and one element. */
export interface TensorShape {
  dims: number[];
  elements: number;
}

/**
 * The shape that a TensorProto says it has.
 *
 * @param name Names the tensor in the error.
 * @throws SecateurError INVALID_MODEL where a dimension is negative or the number of elements is above 2^53.
 */
export function shapeOf(tensor: TensorProto, name: string): TensorShape {
  const dims = tensor.dims.map(Number);
  const product = tensor.dims.reduce((sum, dim) => sum * dim, 1n);
  if (tensor.dims.some((dim) => dim < 0n) || product > 2n ** 50n) {
    throw new SecateurError(
      'INVALID_MODEL',
      `Expected tensor ${name} to have a possible shape, got [${tensor.dims.join(', ')}]`,
      {
        tensor: name,
      },
    );
  }
  return { dims, elements: Number(product) };
}
