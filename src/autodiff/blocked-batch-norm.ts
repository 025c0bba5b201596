// BatchNormalization in the runtime's blocked layout, which has no such operator: a x + b is a depthwise convolution of
// one pixel there, and sums over space are its GlobalAveragePool. Forward, and the pieces that the gradient shares with
// it (rules/batch-norm.ts).
import type { Value } from '../onnx/build/graph-builder.js';
import { type BlockedEmitter, blockedAffine } from './blocked-layout.js';
import { mean, type NodeEmitter } from './rule.js';

/** A normalisation of images [N, C, H, W], float32. */
export interface BatchNorm {
  readonly x: Value;
  readonly scale: Value;
  readonly offset: Value;
  readonly channels: number;
  readonly epsilon: number;
  /** Statistics [C]; those of the batch if left out. */
  readonly fixed?: { readonly mean: Value; readonly variance: Value };
}

/** What adds the nodes. */
export type Emitter = BlockedEmitter & NodeEmitter;

/** Adds a normalisation from and to the usual layout: y, and where they are computed mean and variance of the batch. */
export function blockedBatchNorm(to: Emitter, norm: BatchNorm): Value[] {
  const { emit, blocks } = to;
  const { x, scale, offset, channels, fixed } = norm;
  const usual = (y: Value) => blocks.emit('ReorderOutput', [y], { channels });
  const image = blocks.emit('ReorderInput', [x]);
  if (fixed !== undefined) {
    const factor = emit('Mul', [scale, inverseDeviation(to, { ...norm, variance: fixed.variance })]);
    const shift = emit('Sub', [offset, emit('Mul', [fixed.mean, factor])]);
    return [usual(blockedAffine(to, image, { channels, factor, offset: shift }))];
  }
  const batch = batchMean(to, image);
  const centred = blockedCentred(to, { x, mean: batch, channels });
  const variance = batchMean(to, emit('Mul', [centred, centred]));
  const factor = emit('Mul', [scale, inverseDeviation(to, { ...norm, variance })]);
  return [usual(blockedAffine(to, centred, { channels, factor, offset })), batch, variance];
}

/** x - mean of each channel, in blocks. */
export function blockedCentred(
  to: BlockedEmitter,
  { x, mean, channels }: { readonly x: Value; readonly mean: Value; readonly channels: number },
): Value {
  const factor = to.graph.constant([channels], new Float32Array(channels).fill(1));
  const image = to.blocks.emit('ReorderInput', [x]);
  return blockedAffine(to, image, { channels, factor, offset: to.emit('Neg', [mean]) });
}

/** The mean [C] over batch and space of a value in blocks. Pooled, [N, C, 1, 1] lies in both layouts alike. */
export function batchMean(to: Emitter, x: Value): Value {
  return mean(to, to.blocks.emit('GlobalAveragePool', [x]), [0, 2, 3], false);
}

/** 1 / sqrt(variance + epsilon). */
export function inverseDeviation(
  { emit, graph }: Pick<NodeEmitter, 'emit' | 'graph'>,
  { variance, epsilon }: { readonly variance: Value; readonly epsilon: number },
): Value {
  const deviation = emit('Sqrt', [emit('Add', [variance, graph.float32(epsilon)])]);
  return emit('Reciprocal', [deviation]);
}
