// The part of the addon's contract about weights in groups: channels, blocks, and the n largest of m. Internal.

/**
 * A tensor in memory as a matrix of outputs by inputs: element ((b * outer + o) * rows + r) * inner + i is in row
 * b * rows + r and column o * inner + i.
 */
export interface NativeMatrixView {
  batches: number;
  outer: number;
  rows: number;
  inner: number;
}

export interface NativeGroupedTensor {
  view: NativeMatrixView;
  /** Blocks are numbered row by row; the last of a row or column may be smaller. */
  blockRows: number;
  blockColumns: number;
  /** The set of each block: blocks of one set go together, those of set -1 never. Undefined: each by itself. */
  sets?: Int32Array;
  /** Goes where its sets go, but is neither ranked nor counted. */
  follows: boolean;
}

/** `whole`: blocks go or stay as a whole, those of smallest mean square first. `within`: `keep` stay of each block. */
export interface NativeGrouping {
  rule: 'whole' | 'within';
  /** For `within`. */
  keep: number;
  tensors: NativeGroupedTensor[];
}

export interface NativeGroupCounts {
  /** Sets for `whole`, blocks for `within`. */
  groups: number;
  removedGroups: number;
  /** Weights and blocks. */
  tensors: { removed: number; groups: number; removedGroups: number }[];
}
