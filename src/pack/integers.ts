// Small tensors of integers as numbers, from whichever field they are in.
import { SecateurError } from '../errors.js';
import { TensorProto_DataType as DataType, type TensorProto } from '../onnx/schema/onnx_pb.js';
import { shapeOf } from '../onnx/shape.js';

/**
 * The elements of an int32 or int64 tensor that is small enough to be in the model.
 *
 * @throws SecateurError INVALID_MODEL where it is of another type, or has more or fewer elements than its shape.
 */
export function integersOf(tensor: TensorProto): number[] {
  const values = fieldOf(tensor).map(Number);
  if (values.length === shapeOf(tensor, tensor.name).elements) return values;
  throw new SecateurError(
    'INVALID_MODEL',
    `Expected tensor ${tensor.name} to have the integers that its shape says, got ${values.length}`,
    { tensor: tensor.name },
  );
}

function fieldOf({ dataType, rawData, int32Data, int64Data }: TensorProto): (number | bigint)[] {
  const copy = Uint8Array.from(rawData).buffer;
  if (dataType === DataType.INT64)
    return copy.byteLength > 0 && copy.byteLength % 8 === 0 ? [...new BigInt64Array(copy)] : int64Data;
  if (dataType === DataType.INT32)
    return copy.byteLength > 0 && copy.byteLength % 4 === 0 ? [...new Int32Array(copy)] : int32Data;
  return [];
}
