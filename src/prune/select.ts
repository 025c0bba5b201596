// Selection over weights that a program holds in memory. The typed arrays are used where they are; nothing is copied.
import { invalidOption } from '../errors.js';
import { callNative } from '../native/addon.js';
import type {
  DType,
  NativeSelection,
  NativeSelectOptions,
  NativeTensor,
  Scope,
  SelectionHandle,
} from '../native/contract.js';
import { checkKeys, checkNumber } from '../options.js';

/** Weights of one tensor. Uint16Array holds the bit patterns of float16 or bfloat16, which `dtype` tells apart. */
export type WeightArray = Float32Array | Float64Array | Uint16Array;

/** A typed array, with what it can't say by itself. */
export interface WeightTensor {
  data: WeightArray;
  /** Needed for Uint16Array: `float16` or `bfloat16`. @default by the array's type */
  dtype?: DType;
  /** Multiplies the magnitude before it is ranked (layer-normalised scores); finite and > 0. @default 1 */
  factor?: number;
}

export interface SelectOptions {
  /** The fraction of the weights to remove, in [0, 1). */
  ratio: number;
  /** `global`: one threshold over all tensors; `layer`: one a tensor. @default 'global' */
  scope?: Scope;
  /** The smallest fraction to keep in each tensor, in [0, 1]. @default 0 (off) */
  minKeep?: number;
  /** At most this many threads; 0 means all cores. Small work uses fewer. @default 0 */
  threads?: number;
  /** Keep NaN and infinities and never remove them, instead of failing. @default false */
  allowNonfinite?: boolean;
  /** Ends the call early with a SecateurError ABORTED. */
  signal?: AbortSignal;
}

/** What one removal ratio does to a list of tensors. Reading it changes nothing: see `applySelection`, `packMasks`. */
export interface Selection {
  ratio: number;
  /** The score below which weights are removed; null with scope `layer`. */
  threshold: number | null;
  /** Weights removed, over all tensors: exactly round(ratio * N) with scope `global`. */
  removed: number;
  /** A row a tensor, in the order given. */
  tensors: { threshold: number; removed: number }[];
  /** @internal */
  readonly handle: SelectionHandle;
}

export type Tensors = readonly (WeightArray | WeightTensor)[];

const KEYS = ['ratio', 'ratios', 'scope', 'minKeep', 'threads', 'allowNonfinite', 'signal'];

function dtypesOf(data: WeightArray): readonly DType[] {
  if (data instanceof Float32Array) return ['float32'];
  if (data instanceof Float64Array) return ['float64'];
  return ['float16', 'bfloat16'];
}

function dtypeOf(data: WeightArray, given: DType | undefined, index: number): DType {
  const fits = dtypesOf(data);
  const [only, another] = fits;
  if (given === undefined && only !== undefined && another === undefined) return only;
  if (given !== undefined && fits.includes(given)) return given;
  throw invalidOption(`tensors[${index}].dtype`, `one of ${fits.join(', ')} for ${data.constructor.name}`, given);
}

export function toNative(tensors: Tensors): NativeTensor[] {
  return tensors.map((tensor, index) => {
    const { data, dtype, factor = 1 } = ArrayBuffer.isView(tensor) ? { data: tensor } : tensor;
    if (!(data instanceof Float32Array || data instanceof Float64Array || data instanceof Uint16Array)) {
      throw invalidOption(`tensors[${index}]`, 'a Float32Array, Float64Array or Uint16Array', typeof data);
    }
    if (!(factor > 0 && Number.isFinite(factor))) {
      throw invalidOption(`tensors[${index}].factor`, 'a finite number above 0', factor);
    }
    return { data, dtype: dtypeOf(data, dtype, index), factor };
  });
}

export function nativeSelectOptions(
  options: Omit<SelectOptions, 'ratio'>,
  ratios: readonly number[],
): NativeSelectOptions {
  checkKeys('option', Object.keys(options), KEYS);
  for (const ratio of ratios) checkNumber('ratio', ratio, { least: 0, below: 1 });
  const { scope = 'global', minKeep = 0, threads = 0, allowNonfinite = false } = options;
  if (scope !== 'global' && scope !== 'layer') throw invalidOption('scope', "'global' or 'layer'", scope);
  checkNumber('minKeep', minKeep, { least: 0, most: 1 });
  checkNumber('threads', threads, { least: 0, most: 1024, whole: true });
  return { ratios: [...ratios], scope, minKeep, threads, allowNonfinite };
}

export function toSelections(selections: NativeSelection[]): Selection[] {
  return selections.map(({ threshold, ...rest }) => ({
    ...rest,
    threshold: Number.isNaN(threshold) ? null : threshold,
  }));
}

/**
 * For several removal ratios at once, from one read of the weights: which weights each would remove.
 *
 * @param tensors Typed arrays, or objects that also say dtype and factor. They must not change or be transferred
 *   until the promise settles.
 * @returns One selection a ratio, in the order given.
 * @throws SecateurError INVALID_OPTION, NONFINITE_WEIGHT (with `tensor` and `index`), ABORTED, NATIVE_LOAD.
 */
export async function selectRatios(
  tensors: Tensors,
  options: Omit<SelectOptions, 'ratio'> & { ratios: readonly number[] },
): Promise<Selection[]> {
  const native = toNative(tensors);
  const nativeSelect = nativeSelectOptions(options, options.ratios);
  const selections = await callNative((addon, control) => addon.select(native, nativeSelect, control), options);
  return toSelections(selections);
}

/**
 * The global threshold of one removal ratio: of N weights, exactly round(ratio * N) with the smallest magnitudes are
 * below it. Ties are kept in order of tensor, then of index; the answer is the same for every backend and thread count.
 *
 * @example
 * const { threshold, removed } = await globalThreshold([w1, w2, w3], { ratio: 0.9 });
 * @throws as `selectRatios`.
 */
export async function globalThreshold(tensors: Tensors, options: SelectOptions): Promise<Selection> {
  const { ratio, ...rest } = options;
  const [selection] = await selectRatios(tensors, { ...rest, ratios: [ratio] });
  if (selection === undefined) throw invalidOption('ratio', 'a number in [0, 1)', ratio);
  return selection;
}

/**
 * Zeroes, in place, the weights that a selection removes.
 *
 * @param tensors Those that the selection was made from, or others of equal types and lengths.
 * @returns The zero-valued weights of each tensor afterwards.
 */
export async function applySelection(
  selection: Selection,
  tensors: Tensors,
  { threads = 0 }: { threads?: number } = {},
): Promise<number[]> {
  const native = toNative(tensors);
  return await callNative((addon) => addon.applySelection(selection.handle, native, threads));
}

/**
 * The masks of a selection as bits: bit i (least significant first) of a tensor's bytes is 1 where weight i is kept.
 *
 * @param tensors The weights as they were when they were selected from.
 * @returns ceil(length / 8) bytes a tensor; bits past its end are 0.
 */
export async function packMasks(
  selection: Selection,
  tensors: Tensors,
  { threads = 0 }: { threads?: number } = {},
): Promise<Uint8Array[]> {
  const native = toNative(tensors);
  return await callNative((addon) => addon.packMasks(selection.handle, native, threads));
}
