// Edits of a scanned model: bytes are replaced inside messages, and the length prefixes of all messages around them are
// made anew. The result is a list of pieces (ranges of the source, literals), so that nothing big is ever copied here.

import { SecateurError } from '../errors.js';
import type { EnclosingMessage } from './scan.js';
import { type ByteRange, encodeVarint } from './wire.js';

/** Bytes, or what will give so many bytes when they are written. */
export interface Sized {
  readonly byteLength: number;
}

/** Replaces bytes of the source. An insertion has `bytes: 0`. */
export interface Edit<Bytes extends Sized = Uint8Array> {
  /** The innermost message that has the range in its body. */
  message: EnclosingMessage;
  range: ByteRange;
  replacement: Bytes;
}

/** A part of the edited file. */
export type Piece<Bytes extends Sized = Uint8Array> = ByteRange | { literal: Bytes };

interface Replacement<Bytes> {
  range: ByteRange;
  literal: Bytes;
}

/**
 * The pieces of a file of `size` bytes after edits. Edits may come in any order; insertions at one place into one
 * message keep theirs.
 *
 * @throws SecateurError INTERNAL where two edits overlap.
 */
export function applyEdits<Bytes extends Sized = Uint8Array>(
  size: number,
  edits: readonly Edit<Bytes | Uint8Array>[],
): Piece<Bytes | Uint8Array>[] {
  const depths = depthsOf(edits.map(({ message }) => message));
  // At the end of a message, what is inserted into it comes before what is inserted after it.
  const ordered = edits.toSorted((a, b) => (depths.get(b.message) ?? 0) - (depths.get(a.message) ?? 0));
  const replacements: Replacement<Bytes | Uint8Array>[] = ordered.map(({ range, replacement }) => ({
    range,
    literal: replacement,
  }));
  replacements.push(...newLengthPrefixes(edits, depths));
  replacements.sort((a, b) => a.range.offset - b.range.offset || a.range.bytes - b.range.bytes);
  const pieces: Piece<Bytes | Uint8Array>[] = [];
  let position = 0;
  for (const { range, literal } of replacements) {
    if (range.offset < position)
      throw new SecateurError('INTERNAL', `Expected no overlapping edits at byte ${position}`);
    if (range.offset > position) pieces.push({ offset: position, bytes: range.offset - position });
    if (literal.byteLength > 0) pieces.push({ literal });
    position = range.offset + range.bytes;
  }
  if (position < size) pieces.push({ offset: position, bytes: size - position });
  return pieces;
}

/** The number of bytes that pieces make. */
export function bytesOf(pieces: readonly Piece<Sized>[]): number {
  return pieces.reduce((sum, piece) => sum + ('literal' in piece ? piece.literal.byteLength : piece.bytes), 0);
}

/** Innermost first: a longer prefix makes the message around it longer too. */
function newLengthPrefixes(
  edits: readonly Edit<Sized>[],
  depths: Map<EnclosingMessage, number>,
): Replacement<Uint8Array>[] {
  const growth = new Map<EnclosingMessage, number>();
  const grow = (message: EnclosingMessage | undefined, bytes: number): void => {
    if (message !== undefined) growth.set(message, (growth.get(message) ?? 0) + bytes);
  };
  for (const { message, range, replacement } of edits) grow(message, replacement.byteLength - range.bytes);
  const prefixes: Replacement<Uint8Array>[] = [];
  for (const [message] of [...depths].sort((a, b) => b[1] - a[1])) {
    const bytes = growth.get(message) ?? 0;
    if (bytes === 0) continue;
    const literal = encodeVarint(message.end - message.start + bytes);
    prefixes.push({ range: { offset: message.lengthAt, bytes: message.lengthBytes }, literal });
    grow(message.parent, bytes + literal.byteLength - message.lengthBytes);
  }
  return prefixes;
}

/** The depths of messages and of all messages around them. */
function depthsOf(messages: readonly EnclosingMessage[]): Map<EnclosingMessage, number> {
  const depths = new Map<EnclosingMessage, number>();
  const depthOf = (message: EnclosingMessage): number => {
    const known = depths.get(message);
    if (known !== undefined) return known;
    const depth = message.parent === undefined ? 0 : depthOf(message.parent) + 1;
    depths.set(message, depth);
    return depth;
  };
  for (const message of messages) depthOf(message);
  return depths;
}
