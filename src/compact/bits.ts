// Which weights are not zero, one bit for each pair of an output and an input channel.
import type { Elements } from '../onnx/elements.js';

/** A matrix of bits. */
export class BitMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly #words: Uint32Array;
  readonly #stride: number;

  constructor(rows: number, columns: number) {
    this.rows = rows;
    this.columns = columns;
    this.#stride = Math.ceil(columns / 32);
    this.#words = new Uint32Array(rows * this.#stride);
  }

  set(row: number, column: number): void {
    const at = row * this.#stride + (column >>> 5);
    this.#words[at] = (this.#words[at] ?? 0) | (1 << (column & 31));
  }

  /** The columns whose bits are set in a row, ascending. */
  *columnsOf(row: number): Generator<number> {
    for (let word = 0; word < this.#stride; word++) {
      let bits = this.#words[row * this.#stride + word] ?? 0;
      while (bits !== 0) {
        const lowest = 31 - Math.clz32(bits & -bits);
        yield word * 32 + lowest;
        bits &= bits - 1;
      }
    }
  }

  isEmptyRow(row: number): boolean {
    return this.#words.subarray(row * this.#stride, (row + 1) * this.#stride).every((word) => word === 0);
  }

  /** 1 for columns with a bit in any row. */
  usedColumns(): Uint8Array {
    const used = new Uint8Array(this.columns);
    for (let row = 0; row < this.rows; row++) for (const column of this.columnsOf(row)) used[column] = 1;
    return used;
  }
}

/** Lays a stored weight [d0, d1, ...kernel] out as rows (outputs) by columns (inputs). */
export interface MatrixLayout {
  dims: readonly number[];
  /** The stored axis of the rows; the columns are the other of the first two. */
  rowAxis: 0 | 1;
}

/** Calls back for every weight that is not zero: its row, its column and its value. NaN counts as not zero. */
export function eachWeight(
  elements: Elements,
  { dims, rowAxis }: MatrixLayout,
  visit: (row: number, column: number, weight: number) => void,
): void {
  const [, second = 1, ...kernel] = dims;
  const inner = kernel.reduce((product, dim) => product * dim, 1);
  for (let at = 0; at < elements.length; at++) {
    const weight = elements[at] ?? 0;
    if (weight === 0) continue;
    const pair = Math.floor(at / inner);
    const [outer, inside] = [Math.floor(pair / second), pair % second];
    if (rowAxis === 0) visit(outer, inside, weight);
    else visit(inside, outer, weight);
  }
}

/** The matrix of weights that are not zero. */
export function nonzeroMatrix(elements: Elements, layout: MatrixLayout): BitMatrix {
  const [first = 1, second = 1] = layout.dims;
  const matrix = layout.rowAxis === 0 ? new BitMatrix(first, second) : new BitMatrix(second, first);
  eachWeight(elements, layout, (row, column) => matrix.set(row, column));
  return matrix;
}
