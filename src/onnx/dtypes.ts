// The element types of ONNX tensors: names as users know them, and widths.

import { TensorProto_DataType as DataType } from './schema/onnx_pb.js';

/** An element type. */
export interface ElementType {
  /** Lower case, such as `float32` or `uint4`. */
  name: string;
  /** Bits of an element in raw data; 0 where raw data cannot hold it. */
  bits: number;
  /** What a model computes with after it was quantised: integers of 8 bits or fewer, floats of 8 bits or fewer. */
  quantised: boolean;
}

const type = (name: string, bits: number, quantised = false): ElementType => ({ name, bits, quantised });

const types: Readonly<Record<number, ElementType>> = {
  [DataType.FLOAT]: type('float32', 32),
  [DataType.UINT8]: type('uint8', 8, true),
  [DataType.INT8]: type('int8', 8, true),
  [DataType.UINT16]: type('uint16', 16),
  [DataType.INT16]: type('int16', 16),
  [DataType.INT32]: type('int32', 32),
  [DataType.INT64]: type('int64', 64),
  [DataType.STRING]: type('string', 0),
  [DataType.BOOL]: type('bool', 8),
  [DataType.FLOAT16]: type('float16', 16),
  [DataType.DOUBLE]: type('float64', 64),
  [DataType.UINT32]: type('uint32', 32),
  [DataType.UINT64]: type('uint64', 64),
  [DataType.COMPLEX64]: type('complex64', 64),
  [DataType.COMPLEX128]: type('complex128', 128),
  [DataType.BFLOAT16]: type('bfloat16', 16),
  [DataType.FLOAT8E4M3FN]: type('float8e4m3fn', 8, true),
  [DataType.FLOAT8E4M3FNUZ]: type('float8e4m3fnuz', 8, true),
  [DataType.FLOAT8E5M2]: type('float8e5m2', 8, true),
  [DataType.FLOAT8E5M2FNUZ]: type('float8e5m2fnuz', 8, true),
  [DataType.UINT4]: type('uint4', 4, true),
  [DataType.INT4]: type('int4', 4, true),
  [DataType.FLOAT4E2M1]: type('float4e2m1', 4, true),
  [DataType.FLOAT8E8M0]: type('float8e8m0', 8, true),
  [DataType.UINT2]: type('uint2', 2, true),
  [DataType.INT2]: type('int2', 2, true),
};

/** The element type of a TensorProto's `data_type`; `bits: 0` where the number is unknown. */
export function elementType(dataType: number): ElementType {
  return types[dataType] ?? type(`data type ${dataType}`, 0);
}

/** Bytes of `elements` elements in raw data: types below eight bits are packed and padded to a whole byte. */
export function rawBytes(elements: number, bits: number): number {
  return bits % 8 === 0 ? elements * (bits / 8) : Math.ceil((elements * bits) / 8);
}
