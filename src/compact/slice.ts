// Weights with fewer channels: the bytes of a tensor at the indices that stay, after what is to be added to it.
import { decodeElements, encodeFloats } from '../onnx/elements.js';
import type { ColumnMerge } from './rule.js';

/** What becomes of one use of a tensor. */
export interface TensorChange {
  /** The indices that stay, by axis; undefined where all do. */
  kept: readonly (readonly number[] | undefined)[];
  /** Added along the last axis, before indices go. */
  addend?: Float64Array | undefined;
  merge?: ColumnMerge | undefined;
}

/** Whether nothing changes. */
export function isUnchanged({ kept, addend, merge }: TensorChange): boolean {
  return addend === undefined && merge === undefined && kept.every((indices) => indices === undefined);
}

/** The lengths after the change. */
export function changedDims(dims: readonly number[], { kept }: TensorChange): number[] {
  return dims.map((dim, axis) => kept[axis]?.length ?? dim);
}

/**
 * Applies a change to the raw bytes of a tensor, row-major.
 *
 * @param width bytes of an element.
 */
export function changeTensor(
  bytes: Uint8Array,
  { dims, dataType, width }: { dims: readonly number[]; dataType: number; width: number },
  change: TensorChange,
): Uint8Array {
  let current = edited(bytes, dims, dataType, change);
  const now = [...dims];
  for (const [axis, indices] of change.kept.entries()) {
    if (indices === undefined) continue;
    current = select(current, now, { axis, indices, width });
    now[axis] = indices.length;
  }
  return current;
}

function edited(bytes: Uint8Array, dims: readonly number[], dataType: number, change: TensorChange): Uint8Array {
  const { addend, merge } = change;
  if (addend === undefined && merge === undefined) return bytes;
  const values = Float64Array.from(decodeElements(dataType, bytes) ?? []);
  if (addend !== undefined) for (const index of values.keys()) add(values, index, addend[index % addend.length] ?? 0);
  if (merge !== undefined) mergeColumns(values, dims, merge);
  return encodeFloats(dataType, values) ?? bytes;
}

function mergeColumns(values: Float64Array, dims: readonly number[], { axis, carrier, columns }: ColumnMerge): void {
  const inner = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const block = inner * (dims[axis] ?? 1);
  for (let start = 0; start < values.length; start += block) {
    for (const [column, factor] of columns) {
      for (let at = 0; at < inner; at++) {
        add(values, start + carrier * inner + at, factor * (values[start + column * inner + at] ?? 0));
      }
    }
  }
}

function add(values: Float64Array, index: number, value: number): void {
  values[index] = (values[index] ?? 0) + value;
}

/** The slices at some indices of an axis. */
function select(
  bytes: Uint8Array,
  dims: readonly number[],
  { axis, indices, width }: { axis: number; indices: readonly number[]; width: number },
): Uint8Array {
  const inner = dims.slice(axis + 1).reduce((product, dim) => product * dim, width);
  const outer = dims.slice(0, axis).reduce((product, dim) => product * dim, 1);
  const block = inner * (dims[axis] ?? 1);
  const selected = new Uint8Array(outer * indices.length * inner);
  let position = 0;
  for (let start = 0; start < outer * block; start += block) {
    for (const index of indices) {
      selected.set(bytes.subarray(start + index * inner, start + (index + 1) * inner), position);
      position += inner;
    }
  }
  return selected;
}
