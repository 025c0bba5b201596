// The fields of one TensorProto in a file: where its payloads are and in which encoding, and where its external data
// entries are. A payload over 1 KiB is left out of the skeleton.

import type { SkeletonWriter } from './skeleton.js';
import { type ByteRange, type Cursor, type Tag, WireType } from './wire.js';

/** The payload fields of TensorProto, by number. */
export const payloadFields = {
  4: 'floatData',
  5: 'int32Data',
  6: 'stringData',
  7: 'int64Data',
  9: 'rawData',
  10: 'doubleData',
  11: 'uint64Data',
} as const;

export type PayloadField = (typeof payloadFields)[keyof typeof payloadFields];

/** One payload of a tensor in the file. */
export interface Payload {
  /**
   * The payload is the concatenation of these: one range where it is raw or packed, one a value where it is not
   * packed. Without tags and lengths. Empty where `scattered`.
   */
  runs: ByteRange[];
  /** The sum of the runs' bytes. */
  bytes: number;
  /** Not packed, and in more than `MAX_RUNS` places: too many to keep. */
  scattered: boolean;
  /** Left out of the skeleton. */
  elided: boolean;
}

export interface TensorFields {
  payloads: Map<PayloadField, Payload>;
  /** Each `external_data` entry: the whole field, and the body of its message. */
  externalEntries: { field: ByteRange; body: ByteRange }[];
}

/** A tensor whose values are not packed may lie in so many places at most. */
export const MAX_RUNS = 1_000_000;

const INLINE_BYTES = 1024;
const EXTERNAL_DATA_FIELD = 13;

/** Bytes of an element in a fixed-width payload. */
const fixedWidth: Partial<Record<PayloadField, { bytes: number; wireType: number }>> = {
  floatData: { bytes: 4, wireType: WireType.fixed32 },
  doubleData: { bytes: 8, wireType: WireType.fixed64 },
};

/** A stretch of adjacent fields that are the same payload, or no payload. */
interface Stretch {
  payload: Payload | undefined;
  start: number;
  end: number;
}

/** Scans a TensorProto from the cursor's position to its limit, and writes what is small to the skeleton. */
export function scanTensorFields(cursor: Cursor, writer: SkeletonWriter): TensorFields {
  const fields: TensorFields = { payloads: new Map(), externalEntries: [] };
  const stretches: Stretch[] = [];
  while (cursor.position < cursor.limit) {
    const tag = cursor.tag();
    const payload = scanField(cursor, tag, fields);
    const last = stretches.at(-1);
    if (last !== undefined && last.payload === payload) last.end = cursor.position;
    else stretches.push({ payload, start: tag.start, end: cursor.position });
  }
  for (const payload of fields.payloads.values()) payload.elided = payload.bytes > INLINE_BYTES;
  for (const { payload, start, end } of stretches) if (payload?.elided !== true) writer.copy(start, end);
  return fields;
}

function scanField(cursor: Cursor, tag: Tag, fields: TensorFields): Payload | undefined {
  const name: PayloadField | undefined = payloadFields[tag.number as keyof typeof payloadFields];
  if (name !== undefined) return scanPayload(cursor, tag, name, fields);
  cursor.skip(tag);
  if (tag.number === EXTERNAL_DATA_FIELD && tag.wireType === WireType.bytes) {
    const field = { offset: tag.start, bytes: cursor.position - tag.start };
    fields.externalEntries.push({ field, body: bodyOf(cursor, tag) });
  }
  return undefined;
}

/** The body of a length-delimited field that was just skipped. */
function bodyOf(cursor: Cursor, tag: Tag): ByteRange {
  const end = cursor.position;
  cursor.position = tag.start;
  cursor.tag();
  const bytes = cursor.length();
  const body = { offset: cursor.position, bytes };
  cursor.position = end;
  return body;
}

function scanPayload(cursor: Cursor, tag: Tag, name: PayloadField, fields: TensorFields): Payload {
  const payload = fields.payloads.get(name) ?? { runs: [], bytes: 0, scattered: false, elided: false };
  fields.payloads.set(name, payload);
  const start = valueStart(cursor, tag, name);
  const bytes = cursor.position - start;
  const width = fixedWidth[name]?.bytes ?? 1;
  if (bytes % width !== 0) throw cursor.fail(`it is damaged: the bytes of a packed field are no multiple of ${width}`);
  // Of a singular field that comes twice, the last one counts.
  if (name === 'rawData') Object.assign(payload, { runs: [], bytes: 0 });
  payload.bytes += bytes;
  if (payload.runs.length >= MAX_RUNS) Object.assign(payload, { runs: [], scattered: true });
  if (!payload.scattered) payload.runs.push({ offset: start, bytes });
  return payload;
}

/** Skips the value and returns where its bytes begin. */
function valueStart(cursor: Cursor, tag: Tag, name: PayloadField): number {
  if (tag.wireType === WireType.bytes) {
    const bytes = cursor.length();
    const start = cursor.position;
    cursor.position += bytes;
    return start;
  }
  const packable = name !== 'rawData' && name !== 'stringData';
  if (!packable || tag.wireType !== (fixedWidth[name]?.wireType ?? WireType.varint)) {
    throw cursor.fail(`it is damaged: a tensor's field ${tag.number} has an unfit wire type`);
  }
  const start = cursor.position;
  cursor.skip(tag);
  return start;
}
