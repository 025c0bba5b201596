// The common part of Conv, ConvTranspose, Gemm and MatMul: channels of x are multiplied with a weight and summed to
// channels of the output. Says which channels come out constant and what constant channels of x add to the output.
import type { Elements } from '../onnx/elements.js';
import type { TensorProto } from '../onnx/schema/onnx_pb.js';
import { type BitMatrix, eachKernelSum, type MatrixLayout, nonzeroMatrix } from './bits.js';
import type { ConstantData, Value } from './value.js';

/**
 * Groups must stay equal. `whole`: a group goes with all its channels. `across`: the n-th channels of all groups go, as
 * channel pruning leaves them.
 */
export type Grouping = 'whole' | 'across';

/** A sum over channels. */
export interface Contraction {
  x: Value;
  xAxis: number;
  w: Value;
  /** The axis of w along which x's channels lie. */
  wAxis: number;
  /** The axis of w that becomes the output's channels, and that axis of the output. */
  rowAxis: number;
  outAxis: number;
  groups: number;
  /** What goes together in a grouped convolution; chosen with the coupling. */
  grouping: Grouping;
  /** Gemm's alpha. */
  scale: number;
  /** What is added to each output channel; NaN where unknown. Undefined: nothing. */
  bias: Float64Array | undefined;
  /** A constant channel of x adds the same number everywhere: no padding, no gaps. */
  uniform: boolean;
  /**
   * What becomes of constant channels of x that are not zero. `bias`: their sum goes into the bias. `carrier`: their
   * weights are merged into those of one of them, which is exact at the borders too. `none`: they stay.
   */
  fold: 'bias' | 'carrier' | 'none';
  /** w as a constant matrix; undefined where it is computed or has more than rows and columns. */
  weights: ContractionWeights | undefined;
}

export interface ContractionWeights {
  layout: MatrixLayout;
  elements(): Elements;
  /** Not zero: rows are output channels, columns the input channels of the row's group. */
  nonzero: BitMatrix;
  /** Output channels whose reads are not marked yet. */
  pendingRows: Set<number>;
}

/** Weights are read once, however often the graph is analysed. A tensor that changes is another object. */
const known = new WeakMap<TensorProto, Map<0 | 1, BitMatrix>>();

function nonzeroOf({ tensor, elements }: ConstantData, layout: MatrixLayout): BitMatrix | undefined {
  const matrices = known.get(tensor) ?? new Map<0 | 1, BitMatrix>();
  known.set(tensor, matrices);
  const found = matrices.get(layout.rowAxis);
  if (found !== undefined) return found;
  const numbers = elements();
  if (numbers === undefined) return undefined;
  const matrix = nonzeroMatrix(numbers, layout);
  matrices.set(layout.rowAxis, matrix);
  return matrix;
}

/** The weights of a contraction, if they are a constant with rows and columns. */
export function weightsOf(w: Value, rowAxis: number): ContractionWeights | undefined {
  const { data, shape } = w;
  if (data === undefined || shape === undefined || shape.length < 2) return undefined;
  const stored = data.permutation[rowAxis];
  const kernelStays = data.permutation.every((axis, index) => index < 2 || axis === index);
  if ((stored !== 0 && stored !== 1) || !kernelStays) return undefined;
  const layout: MatrixLayout = { dims: data.tensor.dims.map(Number), rowAxis: stored };
  const nonzero = nonzeroOf(data, layout);
  if (nonzero === undefined) return undefined;
  const pendingRows = new Set(Array.from({ length: nonzero.rows }, (_, row) => row));
  return { layout, nonzero, pendingRows, elements: () => data.elements() ?? new Float32Array(0) };
}

/** The channel of x that a column of the weights meets in a row. */
export function channelOf({ groups, weights }: Contraction, row: number, column: number): number {
  if (weights === undefined || groups === 1) return column;
  const { rows, columns } = weights.nonzero;
  return Math.floor(row / (rows / groups)) * columns + column;
}

/** What the channels of x that `counts` accepts add to each output channel, each being constant. */
export function contribution(contraction: Contraction, counts: (channel: number) => boolean): Float64Array {
  const { weights, x, xAxis, scale } = contraction;
  const constants = x.constants[xAxis];
  const sums = new Float64Array(weights?.nonzero.rows ?? 0);
  const adds = constants?.map((value, channel) => (Number.isNaN(value) || !counts(channel) ? 0 : value));
  if (weights === undefined || adds?.some((value) => value !== 0) !== true) return sums;
  eachKernelSum(weights.elements(), weights.layout, (row, column, weight) => {
    sums[row] = (sums[row] ?? 0) + weight * (adds[channelOf(contraction, row, column)] ?? 0);
  });
  return sums.map((sum) => sum * scale);
}

/** The number that each output channel is equal to everywhere; NaN where it is not. */
export function constantOutputs(contraction: Contraction): Float64Array | undefined {
  const { weights, x, xAxis, bias, uniform } = contraction;
  if (weights === undefined) return undefined;
  const constants = x.constants[xAxis];
  const { nonzero } = weights;
  const sums = contribution(contraction, () => true);
  let found = false;
  const outputs = Float64Array.from({ length: nonzero.rows }, (_, row) => {
    for (const column of nonzero.columnsOf(row)) {
      const value = constants?.[channelOf(contraction, row, column)] ?? Number.NaN;
      if (Number.isNaN(value) || (value !== 0 && !uniform)) return Number.NaN;
    }
    const sum = (bias === undefined ? 0 : (bias[row] ?? Number.NaN)) + (sums[row] ?? 0);
    found ||= Number.isFinite(sum);
    return Number.isFinite(sum) ? sum : Number.NaN;
  });
  return found ? outputs : undefined;
}

/** The channels of x that some rows read. */
export function channelsRead(contraction: Contraction, rows: readonly number[]): Iterable<number> {
  const { weights, groups } = contraction;
  if (weights === undefined) return [];
  if (groups === 1) return weights.nonzero.columnsOfAny(rows);
  const read = rows.flatMap((row) =>
    [...weights.nonzero.columnsOf(row)].map((column) => channelOf(contraction, row, column)),
  );
  return new Set(read);
}

/** What becomes of constant channels: a weight that others read too is not changed. */
export function foldOf({ fold, w }: Contraction): Contraction['fold'] {
  return fold === 'carrier' && w.data?.uses !== 1 ? 'none' : fold;
}

/** Whether a channel of x need not be there whatever its weights: it is constant and zero, or can go into the bias. */
export function isFoldable(contraction: Contraction, channel: number): boolean {
  const value = contraction.x.constants[contraction.xAxis]?.[channel] ?? Number.NaN;
  return value === 0 || (contraction.fold === 'bias' && !Number.isNaN(value));
}
