// Attributes of ONNX nodes from JavaScript values. The type of an attribute follows from how the value is written,
// never from what it happens to be: a plain number is an INT, and a FLOAT says so with float(). ONNX does not convert
// between the two, so `alpha: 1` silently becoming an INT would be a model that no runtime loads.
import { create } from '@bufbuild/protobuf';
import { SecateurError } from '../../errors.js';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  type TensorProto,
} from '../schema/onnx_pb.js';

/** A value for a FLOAT attribute; made by {@link float}. */
export interface FloatAttribute {
  readonly float: number;
}

/**
 * What an attribute can be set to: number (INT), number[] (INTS), {@link float} (FLOAT), Float32Array (FLOATS),
 * string (STRING), string[] (STRINGS), a tensor (TENSOR) or a graph (GRAPH). An empty array is INTS.
 */
export type AttributeValue =
  | number
  | FloatAttribute
  | string
  | readonly number[]
  | readonly string[]
  | Float32Array
  | TensorProto
  | GraphProto;

/** Attributes by name. `undefined` leaves the attribute out. */
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>;

/**
 * Marks a number as a FLOAT attribute. It is rounded to float32 when written.
 *
 * @example
 * graph.op('LeakyRelu', [x], { alpha: float(0.1) });
 */
export function float(value: number): FloatAttribute {
  return { float: value };
}

/** One attribute of a node. */
export function attribute(name: string, value: AttributeValue): AttributeProto {
  return create(AttributeProtoSchema, { name, ...payload(name, value) });
}

function payload(name: string, value: AttributeValue) {
  if (typeof value === 'number') return { type: AttributeType.INT, i: integer(name, value) };
  if (typeof value === 'string') return { type: AttributeType.STRING, s: utf8(value) };
  if (value instanceof Float32Array) return { type: AttributeType.FLOATS, floats: [...value] };
  if (isList(value)) {
    return isStrings(value)
      ? { type: AttributeType.STRINGS, strings: value.map(utf8) }
      : { type: AttributeType.INTS, ints: value.map((item) => integer(name, item)) };
  }
  if ('float' in value) return { type: AttributeType.FLOAT, f: Math.fround(value.float) };
  return value.$typeName === 'onnx.TensorProto'
    ? { type: AttributeType.TENSOR, t: value }
    : { type: AttributeType.GRAPH, g: value };
}

function integer(name: string, value: number): bigint {
  if (Number.isSafeInteger(value)) return BigInt(value);
  throw new SecateurError(
    'INTERNAL',
    `Expected attribute ${name} to be an integer, got ${value}; a FLOAT attribute is written float(${value})`,
  );
}

// Array.isArray does not narrow readonly arrays.
function isList(value: AttributeValue): value is readonly number[] | readonly string[] {
  return Array.isArray(value);
}

function isStrings(list: readonly number[] | readonly string[]): list is readonly string[] {
  return typeof list[0] === 'string';
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
