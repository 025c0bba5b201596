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
  columnsOf(row: number): Generator<number> {
    return this.columnsOfAny([row]);
  }

  /** The columns whose bits are set in any of some rows, ascending. */
  *columnsOfAny(rows: Iterable<number>): Generator<number> {
    const joined = new Uint32Array(this.#stride);
    for (const row of rows) {
      const from = row * this.#stride;
      for (let word = 0; word < joined.length; word++) {
        joined[word] = (joined[word] ?? 0) | (this.#words[from + word] ?? 0);
      }
    }
    for (const [word, all] of joined.entries()) {
      for (let bits = all; bits !== 0; bits &= bits - 1) yield word * 32 + 31 - Math.clz32(bits & -bits);
    }
  }

  isEmptyRow(row: number): boolean {
    return this.#words.subarray(row * this.#stride, (row + 1) * this.#stride).every((word) => word === 0);
  }

  /** The columns with a bit in any row. */
  usedColumns(): Set<number> {
    return new Set(this.columnsOfAny(Array.from({ length: this.rows }, (_, row) => row)));
  }
}

/** Lays a stored weight [d0, d1, ...kernel] out as rows (outputs) by columns (inputs). */
export interface MatrixLayout {
  dims: readonly number[];
  /** The stored axis of the rows; the columns are the other of the first two. */
  rowAxis: 0 | 1;
}

/** Calls back for the kernel of every pair of a row and a column: the index of its first weight and of the one after. */
function eachKernel(
  { dims, rowAxis }: MatrixLayout,
  visit: (row: number, column: number, from: number, to: number) => void,
): void {
  const [first = 1, second = 1, ...kernel] = dims;
  const inner = kernel.reduce((product, dim) => product * dim, 1);
  let from = 0;
  for (let outer = 0; outer < first; outer++) {
    for (let inside = 0; inside < second; inside++, from += inner) {
      if (rowAxis === 0) visit(outer, inside, from, from + inner);
      else visit(inside, outer, from, from + inner);
    }
  }
}

/** Calls back with the sum of each kernel. */
export function eachKernelSum(
  elements: Elements,
  layout: MatrixLayout,
  visit: (row: number, column: number, sum: number) => void,
): void {
  eachKernel(layout, (row, column, from, to) => {
    let sum = 0;
    for (let at = from; at < to; at++) sum += elements[at] ?? 0;
    visit(row, column, sum);
  });
}

/** The matrix of kernels with a weight that is not zero. NaN counts as not zero. */
export function nonzeroMatrix(elements: Elements, layout: MatrixLayout): BitMatrix {
  const [first = 1, second = 1] = layout.dims;
  const matrix = layout.rowAxis === 0 ? new BitMatrix(first, second) : new BitMatrix(second, first);
  eachKernel(layout, (row, column, from, to) => {
    let at = from;
    while (at < to && elements[at] === 0) at++;
    if (at < to) matrix.set(row, column);
  });
  return matrix;
}
