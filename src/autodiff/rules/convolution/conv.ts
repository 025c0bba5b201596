// Conv and ConvTranspose of any rank, groups included.
import type { Value } from '../../../onnx/build/graph-builder.js';
import { input, type Rule, type RuleContext, type RuleFamily, sum } from '../../rule.js';
import { blockedWeightGradient, blocksBatch } from './blocked-weight-gradient.js';
import { convGeometry, convTransposeGeometry, type Geometry } from './geometry.js';
import { inputGradient } from './input-gradient.js';
import { weightGradient } from './weight-gradient.js';

// Y[m] = sum_c X[c] * W[m, c] + B[m], where * slides the kernel:
// dX spreads each dY through the kernel, dW correlates X with dY, dB sums dY over batch and space.
const conv: Rule = (c) => {
  const geometry = convGeometry(c);
  return [
    c.needs(0) ? inputGradient(c, geometry) : null,
    c.needs(1) ? convWeightGradient(c, geometry) : null,
    c.needs(2) ? biasGradient(c) : null,
  ];
};

function convWeightGradient(c: RuleContext, geometry: Geometry): Value {
  if (c.blocks !== undefined && blocksBatch(c, geometry)) return blockedWeightGradient(c, geometry, c.blocks);
  return weightGradient(c, geometry, { images: input(c, 0), dY: c.dY });
}

// The convolution whose transpose this is goes from Y to X, so that X and Y, and the two gradients, change places:
// dX slides the kernel over dY, dW correlates dY with X.
const convTranspose: Rule = (c) => {
  const geometry = convTransposeGeometry(c);
  const { kernel, strides, dilations, pads, group } = geometry;
  const attributes = { kernel_shape: kernel, strides, dilations, pads, group };
  return [
    c.needs(0) ? c.emit('Conv', [c.dY, input(c, 1)], attributes) : null,
    c.needs(1) ? weightGradient(c, geometry, { images: c.dY, dY: input(c, 0) }) : null,
    c.needs(2) ? biasGradient(c) : null,
  ];
};

/** dY summed over batch and space. */
function biasGradient(c: RuleContext): Value {
  const { shape } = c.facts(input(c, 0));
  return sum(
    c,
    c.dY,
    shape.flatMap((_, axis) => (axis === 1 ? [] : [axis])),
    false,
  );
}

export const convolution: RuleFamily = { Conv: conv, ConvTranspose: convTranspose };
