// Walks a model's protobuf without reading its weights. Gives a skeleton (the same message with big payloads left out,
// small enough to decode) and, for every tensor, where its bytes lie in the file. Positions only: what the tensors
// mean is for load.ts and above.

import { randomBytes } from 'node:crypto';
import { SkeletonWriter } from './skeleton.js';
import { scanTensorFields, type TensorFields } from './tensor-fields.js';
import { type ByteSource, Cursor, encodeBytesField, malformed, type Tag, WireType } from './wire.js';

/** A message inside a message, with the place of its length prefix; the chain of `parent`s leads to the model. */
export interface EnclosingMessage {
  parent: EnclosingMessage | undefined;
  /** Where the length prefix begins, and how many bytes it takes. */
  lengthAt: number;
  lengthBytes: number;
  /** The body is [start, end). */
  start: number;
  end: number;
}

/** Where one TensorProto lies in the file. */
export interface TensorRecord extends TensorFields {
  message: EnclosingMessage;
}

/** What a scan finds. */
export interface Scan {
  /** The model's protobuf without payloads over 1 KiB. In each tensor, field `MARKER_FIELD` names its record. */
  skeleton: Uint8Array;
  records: TensorRecord[];
  /** Random, so that no field of a file is taken for a marker. A marker is this and the index in `records`, 4 bytes. */
  nonce: Uint8Array;
}

/** The field number of markers in a skeleton: the largest that protobuf allows. */
export const MARKER_FIELD = 536_870_911;

const NONCE_BYTES = 12;
const MAX_GRAPH_DEPTH = 64;

type MessageKind = 'model' | 'training' | 'function' | 'graph' | 'node' | 'attribute' | 'sparse' | 'tensor';

/** The fields that can lead to a tensor. All others are copied to the skeleton as they are. */
const submessages: Record<MessageKind, Readonly<Record<number, MessageKind>>> = {
  model: { 7: 'graph', 20: 'training', 25: 'function' },
  training: { 1: 'graph', 2: 'graph' },
  function: { 7: 'node', 11: 'attribute' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {},
};

/**
 * Scans a serialised ModelProto of any size.
 *
 * @throws SecateurError INVALID_MODEL where the bytes are not a sound protobuf; FILE_CHANGED where the file shrinks.
 */
export function scan(source: ByteSource): Scan {
  const scanner = new Scanner(source);
  scanner.message('model', undefined, 0);
  return { skeleton: scanner.writer.finish(scanner.cursor.reader), records: scanner.records, nonce: scanner.nonce };
}

class Scanner {
  readonly cursor: Cursor;
  readonly writer: SkeletonWriter;
  readonly records: TensorRecord[] = [];
  readonly nonce = new Uint8Array(randomBytes(NONCE_BYTES));

  constructor(source: ByteSource) {
    this.cursor = new Cursor(source);
    this.writer = new SkeletonWriter(source.path);
  }

  /** Scans the fields up to the cursor's limit. */
  message(kind: MessageKind, enclosing: EnclosingMessage | undefined, depth: number): void {
    const { cursor, writer } = this;
    while (cursor.position < cursor.limit) {
      const tag = cursor.tag();
      const child = submessages[kind][tag.number];
      if (child === undefined) {
        cursor.skip(tag);
        writer.copy(tag.start, cursor.position);
      } else {
        this.#child(tag, child, enclosing, depth);
      }
    }
  }

  #child(tag: Tag, kind: MessageKind, parent: EnclosingMessage | undefined, depth: number): void {
    const { cursor, writer } = this;
    if (tag.wireType !== WireType.bytes) throw cursor.fail(`it is damaged: a ${kind} is not a message`);
    const graphDepth = kind === 'graph' ? depth + 1 : depth;
    if (graphDepth > MAX_GRAPH_DEPTH) {
      throw malformed(cursor.reader.source.path, `its graphs are nested more than ${MAX_GRAPH_DEPTH} levels deep`);
    }
    const lengthAt = cursor.position;
    const end = cursor.length() + cursor.position;
    const message = { parent, lengthAt, lengthBytes: cursor.position - lengthAt, start: cursor.position, end };
    const outer = cursor.limit;
    cursor.limit = end;
    writer.copy(tag.start, lengthAt);
    writer.open();
    if (kind === 'tensor') this.#tensor(message);
    else this.message(kind, message, graphDepth);
    writer.close();
    cursor.limit = outer;
  }

  #tensor(message: EnclosingMessage): void {
    const marker = new Uint8Array(NONCE_BYTES + 4);
    marker.set(this.nonce);
    new DataView(marker.buffer).setUint32(NONCE_BYTES, this.records.length, true);
    this.writer.literal(encodeBytesField(MARKER_FIELD, marker));
    this.records.push({ message, ...scanTensorFields(this.cursor, this.writer) });
  }
}
