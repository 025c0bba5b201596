// The part of the addon's contract that packing uses: sizes, codebooks, and the two streams of packed tensors.
// Internal. Definitions are in native/include/secateur/packing.h, the format in docs/pack.md.
import type { NativeControl, NativeFileTensor } from './common-contract.js';

/** Tensors in files; in one stream, their elements one tensor after the other. */
export interface NativePackingJob {
  /** As in NativePruneJob. */
  sources: { path: string; size: number }[];
  tensors: NativeFileTensor[];
}

/** What a tensor on its own would need. */
export interface NativePackingSizes {
  /** Elements with a bit set: -0 is one. */
  nonzeros: number;
  /** Codes of 8 and of 4 bits, fillers among them. */
  codes8: number;
  codes4: number;
  /** Bytes of its linear indices as varints. */
  indexBytes: number;
  /** The largest magnitude; NaN where an element is. */
  largest: number;
}

export type NativePositions = 'all' | 'gaps8' | 'gaps4' | 'mask' | 'indices';

/** `same`: an element's own bits. The others are of float32. */
export type NativeValueForm = 'same' | 'float16' | 'codebook';

export interface NativePackedForm {
  positions: NativePositions;
  form: NativeValueForm;
  /** Ascending, without the 0 that code 0 stands for; empty but for `codebook`. */
  codebook: Float32Array;
}

export interface NativePackedStream {
  positions: Uint8Array<ArrayBuffer>;
  /** After an extra 0, but for `all` and `indices`. */
  values: Uint8Array<ArrayBuffer>;
  nonzeros: number;
  /** `gaps4`: the last code is no value's, so that the codes fill whole bytes. */
  padded: boolean;
  /** Of each tensor's values: the largest error, and the sum of errors. */
  errors: { largest: number; sum: number }[];
}

/** Streams from a file that nobody has checked. */
export interface NativePackedView {
  positions: Exclude<NativePositions, 'indices'>;
  form: NativeValueForm;
  /** 2, 4 or 8, of an unpacked element. */
  elementBytes: number;
  positionBytes: Uint8Array;
  valueBytes: Uint8Array;
  /** With its 0 as entry 0. */
  codebook: Float32Array;
}

export interface NativePacking {
  measurePacking(job: NativePackingJob, threads: number, control?: NativeControl): Promise<NativePackingSizes[]>;
  /** Fails with NONFINITE_WEIGHT. */
  makeCodebook(job: NativePackingJob, threads: number, control?: NativeControl): Promise<Float32Array>;
  encodePacked(
    job: NativePackingJob,
    into: NativePackedForm,
    threads: number,
    control?: NativeControl,
  ): Promise<NativePackedStream>;
  /** Fills `out`, which is all zeros and as long as what the positions are counted in. Fails with INVALID_MODEL. */
  decodePacked(stream: NativePackedView, out: Uint8Array, threads: number): Promise<void>;
}
