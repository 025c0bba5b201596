// Collects the skeleton of a model while it is scanned: ranges to copy, literals, and messages whose length is known
// only when they end. Bytes are read once, in order, by `finish`.

import { SecateurError } from '../errors.js';
import { encodeVarint, type WindowedReader } from './wire.js';

const MAX_SKELETON_BYTES = 2 ** 30;

type Operation = { start: number; end: number } | Uint8Array;

/** A growing list of operations; `open` and `close` bracket a message. */
export class SkeletonWriter {
  readonly #path: string;
  readonly #operations: Operation[] = [];
  readonly #open: { slot: number; size: number }[] = [];
  #size = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Appends the source's bytes [start, end). */
  copy(start: number, end: number): void {
    const last = this.#operations.at(-1);
    if (last !== undefined && !(last instanceof Uint8Array) && last.end === start) last.end = end;
    else this.#operations.push({ start, end });
    this.#grow(end - start);
  }

  literal(bytes: Uint8Array): void {
    this.#operations.push(bytes);
    this.#grow(bytes.byteLength);
  }

  /** Begins a length-delimited body; the length is filled in by `close`. */
  open(): void {
    this.#open.push({ slot: this.#operations.length, size: this.#size });
    this.#operations.push(new Uint8Array(0));
  }

  close(): void {
    const message = this.#open.pop();
    if (message === undefined)
      throw new SecateurError('INTERNAL', 'Expected an open message in the skeleton, got none');
    const length = encodeVarint(this.#size - message.size);
    this.#operations[message.slot] = length;
    this.#grow(length.byteLength);
  }

  /** Reads what is to be copied and returns the whole skeleton. */
  finish(reader: WindowedReader): Uint8Array {
    const skeleton = new Uint8Array(this.#size);
    let position = 0;
    for (const operation of this.#operations) {
      if (operation instanceof Uint8Array) {
        skeleton.set(operation, position);
        position += operation.byteLength;
      } else {
        const bytes = operation.end - operation.start;
        reader.copyTo(skeleton.subarray(position, position + bytes), operation.start);
        position += bytes;
      }
    }
    return skeleton;
  }

  #grow(bytes: number): void {
    this.#size += bytes;
    if (this.#size > MAX_SKELETON_BYTES) {
      throw new SecateurError(
        'UNSUPPORTED',
        `Expected the graph of ${this.#path} without its weights to be smaller than 1 GiB, got more`,
        { path: this.#path },
      );
    }
  }
}
