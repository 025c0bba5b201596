// Where the weights of a prunable tensor lie: the runs of bytes, in which file, in which encoding. Checks that they
// are as many as the shape says.

import { SecateurError } from '../errors.js';
import type { DType } from '../native/contract.js';
import { elementType, rawBytes } from '../onnx/dtypes.js';
import type { ExternalRange } from '../onnx/external.js';
import type { TensorRecord } from '../onnx/scan.js';
import { MAX_RUNS, type Payload, type PayloadField } from '../onnx/tensor-fields.js';
import { type ByteRange, type ByteSource, WindowedReader } from '../onnx/wire.js';
import type { Prunable } from './prunable.js';

/** The bytes of a tensor in one file. */
export interface Location {
  /** The data file, or undefined for the model itself. */
  external: ExternalRange | undefined;
  encoding: 'flat' | 'varint';
  runs: ByteRange[];
}

/** The typed field for each element type; float16 and bfloat16 are bit patterns in integers. */
const typedFields: Record<DType, PayloadField> = {
  float32: 'floatData',
  float64: 'doubleData',
  float16: 'int32Data',
  bfloat16: 'int32Data',
};

/**
 * Locates the weights, or returns the reason why they cannot be addressed.
 *
 * @param model The .onnx file, for counting varints.
 * @throws SecateurError INVALID_MODEL where the payload contradicts itself or the shape.
 */
export function locate(
  prunable: Prunable,
  record: TensorRecord | undefined,
  external: ExternalRange | undefined,
  model: ByteSource,
): Location | string {
  if (external !== undefined) {
    const { offset, bytes } = external;
    return { external, encoding: 'flat', runs: bytes === 0 ? [] : [{ offset, bytes }] };
  }
  if (record === undefined) return 'stored in several pieces';
  const present = [...record.payloads].filter(([, payload]) => payload.bytes > 0);
  const [first, second] = present;
  if (second !== undefined)
    throw contradiction(prunable, `one payload, got ${present.map(([name]) => name).join(' and ')}`);
  if (first === undefined) {
    if (prunable.weights > 0) throw contradiction(prunable, `${prunable.weights} elements for its shape, got none`);
    return { external, encoding: 'flat', runs: [] };
  }
  return locateInline(prunable, first[0], first[1], model);
}

function locateInline(prunable: Prunable, field: PayloadField, payload: Payload, model: ByteSource): Location | string {
  const { dtype, tensor, weights } = prunable;
  if (field !== 'rawData' && field !== typedFields[dtype]) {
    throw contradiction(prunable, `its ${dtype} elements in rawData or ${typedFields[dtype]}, got them in ${field}`);
  }
  if (payload.scattered) return `its elements are stored in more than ${MAX_RUNS} pieces`;
  const runs = payload.runs.filter(({ bytes }) => bytes > 0);
  if (field === 'int32Data') {
    const elements = countVarints(model, runs);
    if (elements !== weights) throw contradiction(prunable, `${weights} elements for its shape, got ${elements}`);
    return { external: undefined, encoding: 'varint', runs };
  }
  const bytes = rawBytes(weights, elementType(tensor.dataType).bits);
  if (bytes !== payload.bytes) throw contradiction(prunable, `${bytes} bytes for its shape, got ${payload.bytes}`);
  return { external: undefined, encoding: 'flat', runs };
}

/** Each varint has one byte without the continuation bit: its last. */
function countVarints(source: ByteSource, runs: readonly ByteRange[]): number {
  const reader = new WindowedReader(source);
  let count = 0;
  for (const { offset, bytes } of runs) {
    for (let at = offset; at < offset + bytes; at++) if (reader.byteAt(at) < 0x80) count++;
  }
  return count;
}

/** The sentence's grammar: Expected tensor T to have ... */
function contradiction({ name, shape }: Prunable, expectation: string): SecateurError {
  const what = `Expected tensor ${name} of shape [${shape.join(', ')}] to have ${expectation}`;
  return new SecateurError('INVALID_MODEL', what, { tensor: name });
}
