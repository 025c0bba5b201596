// The typed contract of the native addon: every function that `binding/` exports, and the plain objects that
// cross the border. Internal: the public surface is src/index.ts. Values are validated before they come here.
// Counts, offsets and lengths are non-negative safe integers (the addon reads them as int64).

import type {
  DType,
  NativeCancel,
  NativeControl,
  NativeFileTensor,
  NativeProgress,
  NativeRange,
  NativeSelection,
  NativeSelectOptions,
  NativeTensor,
  Scope,
  SelectionHandle,
} from './common-contract.js';
import type { NativeDevices } from './device-contract.js';
import type { NativeGroupCounts, NativeGrouping } from './groups-contract.js';
import type { NativePacking } from './packing-contract.js';
import type { NativeTraining } from './training-contract.js';

export type {
  DType,
  NativeCancel,
  NativeControl,
  NativeFileTensor,
  NativeProgress,
  NativeRange,
  NativeSelection,
  NativeSelectOptions,
  NativeTensor,
  Scope,
  SelectionHandle,
};

/** Instruction sets of the CPU kernels; `portable` runs everywhere. */
export type Backend = 'avx512' | 'avx2' | 'neon' | 'portable';

/** One output file: the concatenation of its pieces. Bytes of tensor runs inside a copied range are masked. */
export interface NativeOutput {
  path: string;
  pieces: (NativeRange | { literal: Uint8Array })[];
}

export interface NativePruneJob {
  /** Paths of regular files, opened read-only. `size` is what the plan was made from; a difference is FILE_CHANGED. */
  sources: { path: string; size: number }[];
  tensors: NativeFileTensor[];
  select: NativeSelectOptions;
  /** Of the tensors, in order. Undefined: each weight by itself. */
  grouping?: NativeGrouping | undefined;
  /** The CUDA library whose GPU selects, for weights one by one. Undefined: the CPU does. */
  cudaLibrary?: string | undefined;
  /** Written beside (`.NAME.secateur-XXXXXX`), checked, and renamed in this order. Empty: select only. */
  outputs: NativeOutput[];
}

export interface NativePruneResult {
  /** With a grouping its counts only: the handle masks nothing. */
  selections: NativeSelection[];
  /** With a grouping. */
  groups?: NativeGroupCounts;
  /** Zero-valued weights of each tensor, counted in the written files before they are renamed; empty without outputs. */
  zeros: number[];
  seconds: { select: number; apply: number };
  threads: number;
  backend: Backend;
}

export interface SelectBenchOptions {
  elements: number;
  dtype: DType;
  distribution: Distribution;
  ratios: number[];
  threads: number;
  repeats: number;
  seed: number;
}

export type Distribution = 'normal' | 'uniform' | 'constant' | 'zeros90' | 'heavy' | 'few';

export interface SelectBenchResult {
  /** Medians over `repeats`. */
  seconds: { floor: number; floorReadWrite: number; select: number; selectAndMask: number; nthElement: number };
  backend: Backend;
  threads: number;
}

/** Medians in seconds by CUDA's events, the weights in a GPU's memory. `floorReadWrite`: a copy on the device. */
export interface DeviceBenchResult {
  floor: number;
  floorReadWrite: number;
  select: number;
  mask: number;
  selectAndMask: number;
}

/** Failures are thrown (or rejected) as plain errors with `code`, `message` and the fields of SecateurError. */
export interface NativeAddon extends NativeTraining, NativePacking, NativeDevices {
  /** Chosen at load time: the best that the CPU has, or SECATEUR_FORCE_BACKEND. */
  backend(): Backend;
  /** All backends compiled in that this CPU can run, best first. */
  backends(): Backend[];
  createCancel(): NativeCancel;
  select(tensors: NativeTensor[], options: NativeSelectOptions, control?: NativeControl): Promise<NativeSelection[]>;
  /** Zeroes what the selection removes, in place. Resolves to the zero-valued weights of each tensor after it. */
  applySelection(handle: SelectionHandle, tensors: NativeTensor[], threads: number): Promise<number[]>;
  /** One bit a weight, 1 = keep, least significant bit first, each tensor padded to whole bytes. */
  packMasks(handle: SelectionHandle, tensors: NativeTensor[], threads: number): Promise<Uint8Array[]>;
  pruneFiles(job: NativePruneJob, control?: NativeControl): Promise<NativePruneResult>;
  /** Zero-valued weights of each tensor. */
  countZeros(
    job: Pick<NativePruneJob, 'sources' | 'tensors'>,
    threads: number,
    control?: NativeControl,
  ): Promise<number[]>;
  /** Fills with normal deviates of the given standard deviation; (seed, stream) decides every bit. */
  fillNormal(target: Float32Array, options: { seed: number; stream: number; std: number }): void;
  /**
   * For the whole process: from now on memory that is freed in pieces of 1 MiB or more goes back to the system at once, and
   * what is free already goes now. With glibc only.
   */
  returnFreedMemory(): void;
  benchSelect(options: SelectBenchOptions): Promise<SelectBenchResult>;
  /** The same on the GPU of a CUDA library; not for float64. */
  benchSelectThere(library: string, options: SelectBenchOptions): Promise<DeviceBenchResult>;
}
