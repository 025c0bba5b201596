// Brings payloads from files into memory, in one form: raw little-endian bytes. For models that are small enough to
// work on as a whole; pruning never comes here.

import { clearField } from '@bufbuild/protobuf';
import { SecateurError } from '../errors.js';
import { type ElementType, elementType, rawBytes } from './dtypes.js';
import { ExternalFiles, isExternal } from './external.js';
import { FileSource } from './file-source.js';
import type { LoadedModel } from './load.js';
import { type TensorProto, TensorProto_DataType, TensorProtoSchema } from './schema/onnx_pb.js';
import { shapeOf } from './shape.js';
import type { Payload, PayloadField } from './tensor-fields.js';
import { tensorsOf } from './tensors.js';
import { type ByteRange, type ByteSource, Cursor, malformed } from './wire.js';

/**
 * Reads all payloads of a model into `rawData` (strings: `stringData`), in place. Afterwards the model needs no file
 * and can be changed and given to `writeModel`.
 *
 * @throws SecateurError INVALID_MODEL, EXTERNAL_DATA, IO, FILE_CHANGED.
 */
export function materialize(loaded: LoadedModel, tensors: Iterable<TensorProto> = tensorsOf(loaded.model)): void {
  const source = openAgain(loaded);
  try {
    const reader = new PayloadReader(loaded, source);
    for (const tensor of tensors) reader.inline(tensor);
  } finally {
    source.close();
  }
}

/**
 * The elements of one tensor: little-endian, row-major; types below eight bits are packed, the first element in the
 * low bits. The tensor is left as it is.
 *
 * @throws SecateurError UNSUPPORTED for strings; otherwise as `materialize`.
 */
export function readTensor(loaded: LoadedModel, tensor: TensorProto): Uint8Array {
  const source = openAgain(loaded);
  try {
    return new PayloadReader(loaded, source).read(tensor);
  } finally {
    source.close();
  }
}

/** Reads the elements of tensors of one model, which stays open meanwhile. `close` it. */
export class PayloadFile {
  readonly #source: FileSource;
  readonly #reader: PayloadReader;

  /** @throws SecateurError IO; FILE_CHANGED where the model is no longer what was loaded. */
  constructor(loaded: LoadedModel) {
    this.#source = openAgain(loaded);
    this.#reader = new PayloadReader(loaded, this.#source);
  }

  /** As `readTensor`. */
  read(tensor: TensorProto): Uint8Array {
    return this.#reader.read(tensor);
  }

  close(): void {
    this.#source.close();
  }
}

function openAgain({ path, size }: LoadedModel): FileSource {
  const source = new FileSource(path);
  if (source.size === size) return source;
  source.close();
  throw new SecateurError('FILE_CHANGED', `Expected ${path} to stay as it is, but its size changed`, { path });
}

class PayloadReader {
  readonly #loaded: LoadedModel;
  readonly #source: ByteSource;
  #files: ExternalFiles | undefined;

  constructor(loaded: LoadedModel, source: ByteSource) {
    this.#loaded = loaded;
    this.#source = source;
  }

  inline(tensor: TensorProto): void {
    if (tensor.dataType === TensorProto_DataType.STRING) {
      const payload = this.#elided(tensor)?.[1];
      if (payload !== undefined) tensor.stringData = payload.runs.map((run) => readRange(this.#source, run));
      return;
    }
    const bytes = this.read(tensor);
    for (const name of ['floatData', 'int32Data', 'int64Data', 'doubleData', 'uint64Data'] as const) tensor[name] = [];
    tensor.externalData = [];
    clearField(tensor, TensorProtoSchema.field.dataLocation);
    tensor.rawData = bytes;
  }

  read(tensor: TensorProto): Uint8Array {
    const type = elementType(tensor.dataType);
    if (type.bits === 0) {
      const what = `Expected tensor ${tensor.name} to have elements of fixed width, got ${type.name}`;
      throw new SecateurError('UNSUPPORTED', what, { tensor: tensor.name });
    }
    const expected = rawBytes(shapeOf(tensor, tensor.name).elements, type.bits);
    const bytes = isExternal(tensor) ? this.#external(tensor, expected) : this.#internal(tensor, type);
    if (bytes.byteLength === expected) return bytes;
    const what = `tensor ${tensor.name} has ${bytes.byteLength} bytes where its shape needs ${expected}`;
    throw malformed(this.#loaded.path, what);
  }

  #external(tensor: TensorProto, expected: number): Uint8Array {
    this.#files ??= new ExternalFiles(this.#loaded.path);
    const range = this.#files.resolve(tensor, tensor.name, expected);
    const source = new FileSource(range.path);
    try {
      return readRange(source, range);
    } finally {
      source.close();
    }
  }

  #internal(tensor: TensorProto, type: ElementType): Uint8Array {
    const elided = this.#elided(tensor);
    if (elided === undefined) return fromFields(tensor, type);
    const [field, payload] = elided;
    if (payload.scattered) throw malformed(this.#loaded.path, `tensor ${tensor.name} is stored in too many pieces`);
    if (field === 'rawData' || field === 'floatData' || field === 'doubleData')
      return concatenate(this.#source, payload);
    return pack(varints(this.#source, payload), type);
  }

  /** The payload that the skeleton lacks. */
  #elided(tensor: TensorProto): [PayloadField, Payload] | undefined {
    return [...(this.#loaded.recordOf(tensor)?.payloads ?? [])].find(([, { elided }]) => elided);
  }
}

function fromFields(tensor: TensorProto, type: ElementType): Uint8Array {
  if (tensor.rawData.byteLength > 0) return tensor.rawData;
  const { floatData, doubleData, int32Data, int64Data, uint64Data } = tensor;
  if (floatData.length > 0) return new Uint8Array(Float32Array.from(floatData).buffer);
  if (doubleData.length > 0) return new Uint8Array(Float64Array.from(doubleData).buffer);
  return pack([...int32Data.map(BigInt), ...int64Data, ...uint64Data], type);
}

function readRange(source: ByteSource, { offset, bytes }: ByteRange): Uint8Array {
  const target = new Uint8Array(bytes);
  source.readInto(target, offset);
  return target;
}

function concatenate(source: ByteSource, { runs, bytes }: Payload): Uint8Array {
  const target = new Uint8Array(bytes);
  let position = 0;
  for (const run of runs) {
    source.readInto(target.subarray(position, position + run.bytes), run.offset);
    position += run.bytes;
  }
  return target;
}

/** The 64-bit patterns of varints. */
function varints(source: ByteSource, { runs }: Payload): bigint[] {
  const cursor = new Cursor(source);
  const values: bigint[] = [];
  for (const { offset, bytes } of runs) {
    cursor.position = offset;
    cursor.limit = offset + bytes;
    while (cursor.position < cursor.limit) values.push(cursor.varint64());
  }
  return values;
}

/** Integers as elements of a type; types below eight bits come two or more to an integer, a byte each. */
function pack(values: readonly bigint[], { bits }: ElementType): Uint8Array {
  const width = Math.max(bits, 8);
  const target = new Uint8Array(values.length * (width / 8));
  const view = new DataView(target.buffer);
  for (const [index, value] of values.entries()) {
    if (width === 8) view.setUint8(index, Number(BigInt.asUintN(8, value)));
    else if (width === 16) view.setUint16(index * 2, Number(BigInt.asUintN(16, value)), true);
    else if (width === 32) view.setUint32(index * 4, Number(BigInt.asUintN(32, value)), true);
    else view.setBigUint64(index * 8, BigInt.asUintN(64, value), true);
  }
  return target;
}
