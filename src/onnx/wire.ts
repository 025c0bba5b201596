// The protobuf wire format, as far as positions in a file matter: varints, tags and field skipping over any source of
// bytes. It knows no message of ONNX and keeps no payload: a cursor sees the file through one small window.

import { SecateurError } from '../errors.js';

/** Wire types of protobuf. The two group types are deprecated, but still legal in unknown fields. */
export const WireType = { varint: 0, fixed64: 1, bytes: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const;

/** Random access to bytes that are too many for memory. */
export interface ByteSource {
  /** Names the source in error messages. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Fills `target` with the bytes that begin at `offset`. Throws FILE_CHANGED if there are fewer. */
  readInto(target: Uint8Array, offset: number): void;
}

/** A half-open range of bytes in a file. */
export interface ByteRange {
  offset: number;
  bytes: number;
}

/** A field's tag and where the field lies. `start` is the tag's position. */
export interface Tag {
  number: number;
  wireType: number;
  start: number;
}

const WINDOW_BYTES = 64 * 1024;
const MAX_VARINT_BYTES = 10;
const MAX_GROUP_DEPTH = 64;
const MAX_TAG = 0xffff_ffff;

/** A source of bytes that are in memory. */
export class MemorySource implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, path = 'the model') {
    this.path = path;
    this.size = bytes.byteLength;
    this.#bytes = bytes;
  }

  readInto(target: Uint8Array, offset: number): void {
    target.set(this.#bytes.subarray(offset, offset + target.byteLength));
  }
}

/** The one grammar of "this is not a sound model". `problem` completes the sentence. */
export function malformed(path: string, problem: string, cause?: unknown): SecateurError {
  return new SecateurError('INVALID_MODEL', `Expected ${path} to be an ONNX model, but ${problem}`, { path, cause });
}

/** Buffers small reads that mostly go forward. */
export class WindowedReader {
  readonly source: ByteSource;
  readonly #buffer: Uint8Array;
  #start = 0;
  #end = 0;

  constructor(source: ByteSource) {
    this.source = source;
    this.#buffer = new Uint8Array(Math.min(WINDOW_BYTES, Math.max(source.size, 1)));
  }

  /** The byte at an offset inside the source. */
  byteAt(offset: number): number {
    if (offset < this.#start || offset >= this.#end) this.#fill(offset);
    return this.#buffer[offset - this.#start] ?? 0;
  }

  /** Copies `target.byteLength` bytes from `offset` on. */
  copyTo(target: Uint8Array, offset: number): void {
    if (target.byteLength > this.#buffer.byteLength) {
      this.source.readInto(target, offset);
      return;
    }
    if (offset < this.#start || offset + target.byteLength > this.#end) this.#fill(offset);
    const from = offset - this.#start;
    target.set(this.#buffer.subarray(from, from + target.byteLength));
  }

  #fill(offset: number): void {
    const bytes = Math.min(this.#buffer.byteLength, this.source.size - offset);
    this.source.readInto(this.#buffer.subarray(0, bytes), offset);
    this.#start = offset;
    this.#end = offset + bytes;
  }
}

/** Reads tags and varints from `position` on, never beyond `limit`. Everything unsound throws INVALID_MODEL. */
export class Cursor {
  position = 0;
  limit: number;
  readonly reader: WindowedReader;

  constructor(source: ByteSource) {
    this.reader = new WindowedReader(source);
    this.limit = source.size;
  }

  fail(problem: string): SecateurError {
    return malformed(this.reader.source.path, `${problem} at byte ${this.position}`);
  }

  /** An unsigned varint. Values above 2^53 come out as `Infinity`: only their presence matters. */
  varint(): number {
    let value = 0;
    let factor = 1;
    for (let index = 0; index < MAX_VARINT_BYTES; index++) {
      if (this.position >= this.limit) throw this.fail('it is truncated or damaged: a number has no end');
      const byte = this.reader.byteAt(this.position++);
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value <= Number.MAX_SAFE_INTEGER ? value : Number.POSITIVE_INFINITY;
      factor *= 128;
    }
    throw this.fail('it is damaged: a number is longer than ten bytes');
  }

  /** An unsigned varint as its 64-bit pattern. */
  varint64(): bigint {
    const start = this.position;
    this.varint();
    let value = 0n;
    for (let at = this.position - 1; at >= start; at--) value = (value << 7n) | BigInt(this.reader.byteAt(at) & 0x7f);
    return BigInt.asUintN(64, value);
  }

  /** The next tag, with a valid field number and wire type. */
  tag(): Tag {
    const start = this.position;
    const value = this.varint();
    const wireType = value % 8;
    if (value > MAX_TAG || value < 8 || wireType > WireType.fixed32) {
      throw this.fail('it is damaged: there is no protobuf field');
    }
    return { number: Math.floor(value / 8), wireType, start };
  }

  /** A length prefix, checked against the limit. The position is then at the first byte of the body. */
  length(): number {
    const bytes = this.varint();
    if (bytes > this.limit - this.position) {
      throw this.fail('it is truncated or damaged: a length goes beyond its end');
    }
    return bytes;
  }

  /** Skips a field's value. */
  skip(tag: Tag, depth = 0): void {
    switch (tag.wireType) {
      case WireType.varint:
        this.varint();
        return;
      case WireType.fixed64:
        this.#advance(8);
        return;
      case WireType.fixed32:
        this.#advance(4);
        return;
      case WireType.bytes:
        this.#advance(this.length());
        return;
      case WireType.startGroup:
        this.#skipGroup(tag, depth + 1);
        return;
      default:
        throw this.fail('it is damaged: a group ends that never began');
    }
  }

  #skipGroup(group: Tag, depth: number): void {
    if (depth > MAX_GROUP_DEPTH) throw this.fail('its protobuf groups are nested too deeply');
    for (;;) {
      const tag = this.tag();
      if (tag.wireType !== WireType.endGroup) this.skip(tag, depth);
      else if (tag.number === group.number) return;
      else throw this.fail('it is damaged: a group ends that never began');
    }
  }

  #advance(bytes: number): void {
    if (bytes > this.limit - this.position) throw this.fail('it is truncated or damaged: a field has no end');
    this.position += bytes;
  }
}

/** The canonical varint of a non-negative safe integer. */
export function encodeVarint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** A length-delimited field: tag, length, body. */
export function encodeBytesField(number: number, body: Uint8Array): Uint8Array {
  const head = encodeFieldHead(number, body.byteLength);
  const field = new Uint8Array(head.byteLength + body.byteLength);
  field.set(head);
  field.set(body, head.byteLength);
  return field;
}

/** The tag and the length of a length-delimited field with a body of `bytes` bytes. */
export function encodeFieldHead(number: number, bytes: number): Uint8Array {
  return Uint8Array.from([...encodeVarint(number * 8 + WireType.bytes), ...encodeVarint(bytes)]);
}
