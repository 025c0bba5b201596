// BatchNormalization multiplied into the convolution before it: y = (W x) a + (b - m a) with a = gamma / sqrt(variance + e).
import type { ConvolutionParameters } from './weights-file.js';

/** Changes the weights in place; a convolution without BatchNormalization stays as it is. */
export function fold({ weight, bias, norm }: ConvolutionParameters, epsilon: number): ConvolutionParameters {
  if (norm === undefined) return { weight, bias, norm };
  const perFilter = weight.length / bias.length;
  const folded = bias.map((beta, filter) => {
    const { scale, mean, variance } = norm;
    const factor = (scale[filter] ?? 0) / Math.sqrt((variance[filter] ?? 0) + epsilon);
    const end = (filter + 1) * perFilter;
    for (let index = filter * perFilter; index < end; index++) weight[index] = (weight[index] ?? 0) * factor;
    return beta - (mean[filter] ?? 0) * factor;
  });
  return { weight, bias: folded, norm: undefined };
}
