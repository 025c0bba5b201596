// TensorProto and ValueInfoProto from typed arrays and dimensions. The bytes of a tensor are a view of the array it was
// made from: nothing is copied until the model is written, so 64 M weights exist once.
import { create } from '@bufbuild/protobuf';
import { SecateurError } from '../../errors.js';
import {
  TensorProto_DataType as DataType,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../schema/onnx_pb.js';

/** Typed arrays that can back a tensor: FLOAT, DOUBLE, INT64, INT32 and UINT8. */
export type TensorData = Float32Array | Float64Array | BigInt64Array | Int32Array | Uint8Array;

/** Element types of graph inputs and outputs. */
export type ElementType = 'float32' | 'float64' | 'float16' | 'bfloat16' | 'int64' | 'int32' | 'uint8' | 'bool';

/** A length, or the name of a dimension that is known only when the model runs, such as `N`. */
export type Dimension = number | string;

const dataTypes: Readonly<Record<ElementType, DataType>> = {
  float32: DataType.FLOAT,
  float64: DataType.DOUBLE,
  float16: DataType.FLOAT16,
  bfloat16: DataType.BFLOAT16,
  int64: DataType.INT64,
  int32: DataType.INT32,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
};

/** The element type that ONNX gives a typed array. */
export function elementTypeOf(data: TensorData): ElementType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Float64Array) return 'float64';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof Int32Array) return 'int32';
  return 'uint8';
}

/**
 * A tensor over the array's own bytes (`raw_data`, little-endian as ONNX wants it and as every supported machine has
 * it). Later writes to the array show in the tensor.
 *
 * @param dims row-major; their product must be the array's length.
 */
export function tensor(name: string, dims: readonly number[], data: TensorData): TensorProto {
  const expected = dims.reduce((product, dim) => product * dim, 1);
  if (expected !== data.length) {
    throw new SecateurError(
      'INTERNAL',
      `Expected ${expected} elements for tensor ${name} of shape [${dims.join(', ')}], got ${data.length}`,
      { tensor: name },
    );
  }
  return create(TensorProtoSchema, {
    name,
    dims: dims.map(BigInt),
    dataType: dataTypes[elementTypeOf(data)],
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });
}

/** The name, element type and shape of a graph input or output. */
export function valueInfo(name: string, type: ElementType, dims: readonly Dimension[]): ValueInfoProto {
  const dim = dims.map((size) => ({
    value:
      typeof size === 'number'
        ? { case: 'dimValue' as const, value: BigInt(size) }
        : { case: 'dimParam' as const, value: size },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType: dataTypes[type], shape: { dim } } } },
  });
}
