// FlatBuffers tables read with every position checked against the file, and with budgets: a small hostile file whose
// offsets share one big table must not cost more than an honest file of its size.

import { ByteBuffer } from 'flatbuffers';
import { invalidData } from '../../data/dataset.js';
import type { SecateurError } from '../../errors.js';

/** A position of a table or a vector, checked. */
export type Position = number;

/** An honest file has at most one table for each 8 bytes: a position of a vtable and at least one offset to it. */
const BYTES_A_TABLE = 8;
/** Names may be shared by tables, so strings may be longer in sum than the file. */
const STRING_BYTES_A_BYTE = 8;
const MIN_STRING_BUDGET = 2 ** 16;

/** Reads tables of one file. All failures are INVALID_DATA. */
export class FlatReader {
  readonly #path: string;
  readonly #buffer: ByteBuffer;
  readonly #size: number;
  readonly #text = new TextDecoder('utf-8');
  #tablesLeft: number;
  #stringBytesLeft: number;

  constructor(bytes: Uint8Array, path: string) {
    this.#path = path;
    this.#buffer = new ByteBuffer(bytes);
    this.#size = bytes.length;
    this.#tablesLeft = Math.floor(bytes.length / BYTES_A_TABLE);
    this.#stringBytesLeft = Math.max(bytes.length * STRING_BYTES_A_BYTE, MIN_STRING_BUDGET);
  }

  fail(problem: string): SecateurError {
    return invalidData(this.#path, 'an ONNX Runtime training checkpoint', problem);
  }

  /** The table that the file begins with. */
  root(): Position {
    return this.#table(this.#follow(0));
  }

  /** A table in a slot; `undefined` where it is absent. */
  table(table: Position, slot: number): Position | undefined {
    const at = this.#field(table, slot, 4);
    return at === undefined ? undefined : this.#table(this.#follow(at));
  }

  /** The tables of a vector in a slot; none where it is absent. */
  *tables(table: Position, slot: number): Generator<Position> {
    const vector = this.#vector(table, slot, 4);
    for (let index = 0; index < vector.length; index++) yield this.#table(this.#follow(vector.start + 4 * index));
  }

  /** A string in a slot; empty where it is absent. */
  string(table: Position, slot: number): string {
    const at = this.#field(table, slot, 4);
    return at === undefined ? '' : this.#string(this.#follow(at));
  }

  /** The strings of a vector in a slot; `undefined` where it is absent. */
  strings(table: Position, slot: number): string[] | undefined {
    if (this.#field(table, slot, 4) === undefined) return undefined;
    const vector = this.#vector(table, slot, 4);
    return Array.from({ length: vector.length }, (_, index) => this.#string(this.#follow(vector.start + 4 * index)));
  }

  /** The bytes of a vector in a slot, as a view of the file; empty where it is absent. */
  bytes(table: Position, slot: number): Uint8Array {
    const { start, length } = this.#vector(table, slot, 1);
    return this.#buffer.bytes().subarray(start, start + length);
  }

  /** The numbers of an int64 vector of at most `most` in a slot; none where it is absent. */
  int64s(table: Position, slot: number, most: number): bigint[] {
    const { start, length } = this.#vector(table, slot, 8);
    if (length > most) throw this.fail(`it is damaged: it has ${length} numbers where at most ${most} can be`);
    return Array.from({ length }, (_, index) => this.#buffer.readInt64(start + 8 * index));
  }

  bool(table: Position, slot: number): boolean {
    const at = this.#field(table, slot, 1);
    return at !== undefined && this.#buffer.readUint8(at) !== 0;
  }

  int32(table: Position, slot: number): number {
    const at = this.#field(table, slot, 4);
    return at === undefined ? 0 : this.#buffer.readInt32(at);
  }

  int64(table: Position, slot: number, absent = 0n): bigint {
    const at = this.#field(table, slot, 8);
    return at === undefined ? absent : this.#buffer.readInt64(at);
  }

  float32(table: Position, slot: number): number {
    const at = this.#field(table, slot, 4);
    return at === undefined ? 0 : this.#buffer.readFloat32(at);
  }

  /** Checks a table's vtable once, and charges the budget. */
  #table(at: number): Position {
    if (this.#tablesLeft-- <= 0) throw this.fail('it is damaged: it has more tables than fit into it');
    this.#need(at, 4);
    const vtable = at - this.#buffer.readInt32(at);
    this.#need(vtable, 4);
    const bytes = this.#buffer.readUint16(vtable);
    if (bytes < 4 || bytes % 2 !== 0) throw this.fail(`it is damaged: no table is at byte ${at}`);
    this.#need(vtable, bytes);
    this.#need(at, this.#buffer.readUint16(vtable + 2));
    return at;
  }

  /** Where a field lies; `undefined` where it is absent. */
  #field(table: Position, slot: number, width: number): number | undefined {
    const vtable = table - this.#buffer.readInt32(table);
    const entry = 4 + 2 * slot;
    if (entry + 2 > this.#buffer.readUint16(vtable)) return undefined;
    const offset = this.#buffer.readUint16(vtable + entry);
    if (offset === 0) return undefined;
    this.#need(table + offset, width);
    return table + offset;
  }

  #vector(table: Position, slot: number, width: number): { start: number; length: number } {
    const at = this.#field(table, slot, 4);
    if (at === undefined) return { start: 0, length: 0 };
    const vector = this.#follow(at);
    this.#need(vector, 4);
    const length = this.#buffer.readUint32(vector);
    this.#need(vector + 4, length * width);
    return { start: vector + 4, length };
  }

  #string(at: number): string {
    this.#need(at, 4);
    const length = this.#buffer.readUint32(at);
    this.#need(at + 4, length);
    // Empty strings cost something too: tables may share a long vector of them.
    this.#stringBytesLeft -= length + 4;
    if (this.#stringBytesLeft < 0) throw this.fail('it is damaged: its names are longer than it');
    return this.#text.decode(this.#buffer.bytes().subarray(at + 4, at + 4 + length));
  }

  /** The position that an offset points to. Offsets are unsigned, so they only ever point forward. */
  #follow(at: number): number {
    this.#need(at, 4);
    return at + this.#buffer.readUint32(at);
  }

  #need(at: number, bytes: number): void {
    if (at >= 0 && at + bytes <= this.#size) return;
    throw this.fail('it is truncated or damaged: an offset points outside it');
  }
}
