// Normalisation over the batch. Its statistics come from the forward node where it hands them out (see ../training-mode.ts).
import { float } from '../../onnx/build/attributes.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import { arithmetic } from '../arithmetic.js';
import { batchMean, blockedCentred, inverseDeviation } from '../blocked-batch-norm.js';
import { blockedAffine } from '../blocked-layout.js';
import {
  type Blocks,
  floatAttribute,
  input,
  intAttribute,
  type Rule,
  type RuleContext,
  type RuleFamily,
  sum,
} from '../rule.js';

interface BatchNorm {
  readonly mean: Value;
  readonly variance: Value;
  readonly epsilon: number;
}

/** a x + b with a and b [C]: one pass, by the inference form of BatchNormalization, twice as fast as Mul and Add. */
function affine(c: RuleContext, x: Value, a: Value, b?: Value): Value {
  const { zeros, ones } = perChannel(c);
  return c.emit('BatchNormalization', [x, a, b ?? zeros, zeros, ones], { epsilon: float(0) });
}

function perChannel(c: RuleContext): { zeros: Value; ones: Value } {
  const { shape, dtype } = c.facts(input(c, 1));
  const data = (fill: number) =>
    dtype === 'float64' ? new Float64Array(shape[0] ?? 0).fill(fill) : new Float32Array(shape[0] ?? 0).fill(fill);
  return { zeros: c.graph.constant(shape, data(0)), ones: c.graph.constant(shape, data(1)) };
}

/** [N, C, space] to [C]. Space first and then the batch: half the time of one ReduceSum over all of them. */
function sumOverBatch(c: RuleContext, x: Value): Value {
  const { length: rank } = c.facts(input(c, 0)).shape;
  if (rank <= 2) return sum(c, x, [0], false);
  const rows = rank === 3 ? x : c.emit('Reshape', [x, c.graph.int64([0, 0, -1])]);
  return sum(c, sum(c, rows, [2], false), [0], false);
}

// With xh = (x - m) r and r = 1 / sqrt(v + e), dscale = sum(dY xh), dB = sum(dY), and, since m and v depend on x,
// dX = s r (dY - dB / n - xh dscale / n), sums over the n elements of a channel.
// Measured on 1 thread of the reference machine for [128,16,32,32], [128,32,16,16] and [128,64,8,8]: 3.5, 1.4 and
// 0.7 ms; without normalising x first, which loses digits where the mean is large, 3.2, 1.3 and 0.6; with Mul and Add
// instead of affine 3.6, 1.5 and 0.9; dot products by FusedMatMul 2.9, 1.7 and 1.5. Forward by the runtime's own
// operator: 0.9, 0.4 and 0.2.
function batchStatistics(c: RuleContext, norm: BatchNorm) {
  const { mean, variance, epsilon } = norm;
  if (c.blocks !== undefined && fillsBlocks(c, c.blocks)) return blockedStatistics(c, norm, c.blocks);
  const { add, div, mul, of } = arithmetic(c, input(c, 1));
  const { zeros, ones } = perChannel(c);
  const normalised = c.emit('BatchNormalization', [input(c, 0), ones, zeros, mean, variance], {
    epsilon: float(epsilon),
  });
  const dB = sumOverBatch(c, c.dY);
  const dScale = sumOverBatch(c, mul(c.dY, normalised));
  const dX = () => {
    const factor = div(input(c, 1), of('Sqrt', add(variance, epsilon)));
    const share = of('Neg', div(factor, elementsPerChannel(c)));
    return add(affine(c, c.dY, factor), affine(c, normalised, mul(share, dScale), mul(share, dB)));
  };
  return [c.needs(0) ? dX() : null, dScale, dB];
}

function fillsBlocks(c: RuleContext, { size }: Blocks): boolean {
  const { shape, dtype } = c.facts(input(c, 0));
  return dtype === 'float32' && shape.length === 4 && (shape[1] ?? 0) % size === 0;
}

// The same in blocks, from x - m, which the forward pass has computed: passes that take 3.1 ms for [128,16,32,32].
function blockedStatistics(c: RuleContext, { mean, variance, epsilon }: BatchNorm, blocks: Blocks) {
  const { graph, emit, opset } = c;
  const { mul, of } = arithmetic(c, input(c, 1));
  const to = { graph, emit, opset, blocks };
  const channels = c.facts(input(c, 0)).shape[1] ?? 0;
  const dY = blocks.emit('ReorderInput', [c.dY]);
  const centred = blockedCentred(to, { x: input(c, 0), mean, channels });
  const [share, product] = [batchMean(to, dY), batchMean(to, emit('Mul', [dY, centred]))];
  const inverse = inverseDeviation(to, { variance, epsilon });
  const count = elementsPerChannel(c);
  const dX = () => {
    const factor = mul(input(c, 1), inverse);
    const negative = of('Neg', factor);
    const slope = mul(mul(negative, product), mul(inverse, inverse));
    const rest = blockedAffine(to, centred, { channels, factor: slope, offset: mul(negative, share) });
    return blocks.emit('ReorderOutput', [blockedAffine(to, dY, { channels, factor, more: rest })], { channels });
  };
  return [c.needs(0) ? dX() : null, mul(mul(product, inverse), count), mul(share, count)];
}

function elementsPerChannel(c: RuleContext): Value {
  const { dtype } = c.facts(input(c, 1));
  const size = c.emit('Div', [c.emit('Size', [input(c, 0)]), c.emit('Size', [input(c, 1)])]);
  return c.emit('Cast', [size], { to: dtype === 'float64' ? 11 : 1 });
}

// Fixed m and v: dX = s r dY, dm = -s r dB, dv = -s r^2 dscale / 2.
function fixedStatistics(c: RuleContext, { mean, variance, epsilon }: BatchNorm) {
  const { add, div, mul, of } = arithmetic(c, input(c, 1));
  const { zeros, ones } = perChannel(c);
  const attributes = { epsilon: float(epsilon) };
  const [scale, dY] = [input(c, 1), c.dY];
  const dX = c.needs(0) ? c.emit('BatchNormalization', [dY, scale, zeros, zeros, variance], attributes) : null;
  if (![1, 2, 3, 4].some((index) => c.needs(index))) return [dX];
  const normalised = c.emit('BatchNormalization', [input(c, 0), ones, zeros, mean, variance], attributes);
  const dB = sumOverBatch(c, dY);
  const dScale = sumOverBatch(c, mul(dY, normalised));
  const squared = add(variance, epsilon);
  return [
    dX,
    dScale,
    dB,
    c.needs(3) ? of('Neg', mul(dB, div(scale, of('Sqrt', squared)))) : null,
    c.needs(4) ? mul(mul(dScale, div(scale, squared)), -0.5) : null,
  ];
}

const batchNormalization: Rule = (c) => {
  const epsilon = floatAttribute(c.node, 'epsilon', 1e-5);
  const trains = c.opset >= 14 && intAttribute(c.node, 'training_mode', 0) === 1;
  if (!trains) return fixedStatistics(c, { mean: input(c, 3), variance: input(c, 4), epsilon });
  // Without momentum the updated statistics are those of the batch.
  if (floatAttribute(c.node, 'momentum', 0.9) === 0 && c.outputs[1] && c.outputs[2]) {
    return batchStatistics(c, { mean: c.outputs[1], variance: c.outputs[2], epsilon });
  }
  return batchStatistics(c, { ...statisticsOf(c), epsilon });
};

/** Mean and variance of the batch, in two passes over x. */
function statisticsOf(c: RuleContext): { mean: Value; variance: Value } {
  const { div, mul } = arithmetic(c, input(c, 1));
  const { zeros, ones } = perChannel(c);
  const count = elementsPerChannel(c);
  const mean = div(sumOverBatch(c, input(c, 0)), count);
  const centred = c.emit('BatchNormalization', [input(c, 0), ones, zeros, mean, ones], { epsilon: float(0) });
  return { mean, variance: div(sumOverBatch(c, mul(centred, centred)), count) };
}

export const batchNorms: RuleFamily = { BatchNormalization: batchNormalization };
