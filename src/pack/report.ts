// What packing and unpacking report: plain objects, the same for programs and for `--json`.
import type { Skipped } from '../prune/prunable.js';
import type { Measured } from './choose.js';
import type { PackedValues, PackFormat } from './options.js';
import type { PackTensor, PackType } from './survey.js';

/**
 * How a tensor is stored: `dense` as before; `zeros` as its shape alone; `all` as values without positions; `gaps8`,
 * `gaps4` and `mask` as docs/pack.md has them; `sparse` as ONNX's sparse initializer.
 */
export type TensorEncoding = 'dense' | 'zeros' | 'all' | 'gaps8' | 'gaps4' | 'mask' | 'sparse';

export interface PackedTensor {
  /** Unique in the model; in a subgraph a path. */
  name: string;
  shape: number[];
  dtype: PackType;
  weights: number;
  /** -0 is one. */
  nonzeros: number;
  encoding: TensorEncoding;
  /** How its values are stored. */
  values: 'same' | 'float16' | 'codebook';
  bytes: { before: number; after: number };
  /** Of the weights that are not zero, against those before; 0 where values are the `same`. */
  error: { largest: number; mean: number };
}

/** What became of a tensor that is packed. */
export interface Outcome {
  encoding: Exclude<TensorEncoding, 'dense'>;
  values: PackedTensor['values'];
  bytes: number;
  error: { largest: number; sum: number };
}

/** What `pack` did. */
export interface PackReport {
  model: string;
  output: string;
  format: PackFormat;
  /** As asked. */
  values: PackedValues;
  /** Of the model and its external data. */
  bytes: { before: number; after: number };
  /** Tensors of 256 bytes and more that may be packed. `after` leaves out the operators that unpack. */
  tensors: PackedTensor[];
  /** Tensors that are left as they are whatever their weights, and why. */
  skipped: Skipped[];
  /** Loading in onnxruntime-node; null where that is not installed, and the file was not tried. */
  loadSeconds: number | null;
  seconds: number;
}

/** What `unpack` did. */
export interface UnpackReport {
  model: string;
  output: string;
  /** Names of the tensors that are dense now. */
  tensors: string[];
  bytes: { before: number; after: number };
  loadSeconds: number | null;
  seconds: number;
}

/** One entry a tensor; those without an outcome are dense. */
export function reportTensors(
  measured: readonly Measured[],
  outcomes: ReadonlyMap<PackTensor, Outcome>,
): PackedTensor[] {
  return measured.map(({ tensor, sizes: { nonzeros } }) => {
    const { name, shape, dtype, elements: weights, bytes: before } = tensor;
    const { encoding, values, bytes, error } = outcomes.get(tensor) ?? dense(before);
    const mean = nonzeros === 0 ? 0 : error.sum / nonzeros;
    const facts = { name, shape, dtype, weights, nonzeros, encoding, values };
    return { ...facts, bytes: { before, after: bytes }, error: { largest: error.largest, mean } };
  });
}

function dense(bytes: number): Omit<Outcome, 'encoding'> & { encoding: 'dense' } {
  return { encoding: 'dense', values: 'same', bytes, error: { largest: 0, sum: 0 } };
}
