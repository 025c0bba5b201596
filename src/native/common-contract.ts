// Types that several parts of the addon's contract use. Internal.

/** `global`: one threshold over all tensors together. `layer`: one a tensor. */
export type Scope = 'global' | 'layer';

/** Opaque, type-tagged. */
export type SelectionHandle = { readonly __secateur: 'selection' };

/** Element types that can be pruned. ONNX: FLOAT, FLOAT16, BFLOAT16, DOUBLE. */
export type DType = 'float32' | 'float16' | 'bfloat16' | 'float64';

/** A byte range of `sources[source]`. */
export interface NativeRange {
  source: number;
  offset: number;
  bytes: number;
}

/** A tensor in files. Elements are the concatenation of the runs, little-endian. */
export interface NativeFileTensor {
  name: string;
  dtype: DType;
  factor: number;
  /**
   * `flat`: fixed-width elements. `varint`: protobuf varints that hold 16-bit patterns (f16 and bf16 in
   * `int32_data`); a removed element is written as an over-long zero, so that no length changes.
   */
  encoding: 'flat' | 'varint';
  weights: number;
  runs: NativeRange[];
}

/** Called on the JavaScript thread, at most some 20 times a second. Units are bytes. */
export type NativeProgress = (phase: 'select' | 'write' | 'check' | 'count', done: number, total: number) => void;

/** Cancels a call: `cancel()` makes it fail with ABORTED at the next chunk. */
export interface NativeCancel {
  cancel(): void;
}

export interface NativeControl {
  cancel?: NativeCancel;
  progress?: NativeProgress;
}

export interface NativeSelectOptions {
  /** Removal ratios in [0, 1), each answered from the same pass over the weights. */
  ratios: number[];
  scope: Scope;
  /** Smallest fraction kept in each tensor, [0, 1]; 0 is off. */
  minKeep: number;
  /** Upper bound on threads; 0 means all cores. Small work uses fewer. */
  threads: number;
  /** Keep NaN and infinities and never remove them, instead of failing with NONFINITE_WEIGHT. */
  allowNonfinite: boolean;
}

/** Weights in JavaScript memory; the addon reads and writes the view's own bytes and holds a reference. */
export interface NativeTensor {
  data: ArrayBufferView;
  dtype: DType;
  /** Multiplies the magnitude before it is ranked; finite and > 0. */
  factor: number;
}

/** What one ratio does to one tensor. */
export interface NativeTensorSelection {
  /** The score below which weights are removed. */
  threshold: number;
  /** How many weights are removed. */
  removed: number;
}

/** The answer to one ratio. `handle` carries the exact thresholds (keys and the place where ties end). */
export interface NativeSelection {
  ratio: number;
  /** Removed over all tensors. */
  removed: number;
  /** The global threshold; NaN with scope `layer`. */
  threshold: number;
  tensors: NativeTensorSelection[];
  handle: SelectionHandle;
}
