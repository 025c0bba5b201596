// Opens a model: the typed graph with small payloads in it, and for big ones where they lie in the file. The weights
// of a model of any size stay in the file until `materialize` (payload.ts) asks for them.

import { fromBinary } from '@bufbuild/protobuf';
import { SecateurError } from '../errors.js';
import { FileSource } from './file-source.js';
import { MARKER_FIELD, type Scan, scan, type TensorRecord } from './scan.js';
import { type ModelProto, ModelProtoSchema, type TensorProto } from './schema/onnx_pb.js';
import { describeOtherFormat } from './sniff.js';
import { tensorsOf } from './tensors.js';
import { type ByteSource, malformed } from './wire.js';

/** A model whose big payloads are still in its file. */
export interface LoadedModel {
  /** As it was given. */
  path: string;
  /** Bytes of the .onnx file. */
  size: number;
  /** Payloads over 1 KiB are missing from its tensors. */
  model: ModelProto;
  /** Where a tensor lies in the file. Undefined for a tensor that the file does not hold in one piece. */
  recordOf(tensor: TensorProto): TensorRecord | undefined;
}

/**
 * Reads the graph of an .onnx file of any size, without its weights. Synchronous: little is read.
 *
 * @throws SecateurError IO where the file cannot be read; INVALID_MODEL where it is not a sound ONNX model.
 */
export function readModel(path: string): LoadedModel {
  const source = new FileSource(path);
  try {
    return loadFrom(source);
  } finally {
    source.close();
  }
}

/** Reads the graph from any source of bytes. */
export function loadFrom(source: ByteSource): LoadedModel {
  if (source.size === 0) throw malformed(source.path, 'the file is empty');
  try {
    const found = scan(source);
    const model = decode(found.skeleton, source.path);
    const records = linkRecords(model, found);
    return { path: source.path, size: source.size, model, recordOf: (tensor) => records.get(tensor) };
  } catch (error) {
    const other = isMalformed(error) ? describeOtherFormat(source) : undefined;
    throw other === undefined ? error : malformed(source.path, other, error);
  }
}

function isMalformed(error: unknown): boolean {
  return error instanceof SecateurError && error.code === 'INVALID_MODEL';
}

function decode(skeleton: Uint8Array, path: string): ModelProto {
  let model: ModelProto;
  try {
    model = fromBinary(ModelProtoSchema, skeleton);
  } catch (error) {
    // The decoder recurses once a level and has no limit of its own that we could ask for.
    const deep = error instanceof RangeError && error.message.includes('call stack');
    throw malformed(path, deep ? 'its messages are nested too deeply' : 'its fields cannot be decoded', error);
  }
  if (model.graph === undefined) throw malformed(path, 'it has no graph');
  if (model.irVersion < 1n && model.opsetImport.length === 0) {
    throw malformed(path, 'it names neither an IR version nor an operator set');
  }
  return model;
}

/** Takes the markers out of the tensors. A tensor with two of them was merged from two messages. */
function linkRecords(model: ModelProto, { records, nonce }: Scan): WeakMap<TensorProto, TensorRecord> {
  const links = new WeakMap<TensorProto, TensorRecord>();
  for (const tensor of tensorsOf(model)) {
    const unknown = tensor.$unknown ?? [];
    const indexes = unknown.map((field) => (field.no === MARKER_FIELD ? markedIndex(field.data, nonce) : undefined));
    const rest = unknown.filter((_, index) => indexes[index] === undefined);
    if (rest.length > 0) tensor.$unknown = rest;
    else Reflect.deleteProperty(tensor, '$unknown');
    const marked = indexes.filter((index) => index !== undefined);
    const record = marked.length === 1 && marked[0] !== undefined ? records[marked[0]] : undefined;
    if (record !== undefined) links.set(tensor, record);
  }
  return links;
}

/** `data` is a length byte, the nonce and the index. */
function markedIndex(data: Uint8Array, nonce: Uint8Array): number | undefined {
  if (data.byteLength !== 1 + nonce.byteLength + 4) return undefined;
  if (!nonce.every((byte, index) => data[1 + index] === byte)) return undefined;
  return new DataView(data.buffer, data.byteOffset).getUint32(1 + nonce.byteLength, true);
}
