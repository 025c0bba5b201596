// Conv of any rank, groups included.
import { input, type Rule, type RuleFamily, sum } from '../../rule.js';
import { convGeometry } from './geometry.js';
import { inputGradient } from './input-gradient.js';
import { weightGradient } from './weight-gradient.js';

// Y[m] = sum_c X[c] * W[m, c] + B[m], where * slides the kernel:
// dX spreads each dY through the kernel, dW correlates X with dY, dB sums dY over batch and space.
const conv: Rule = (c) => {
  const geometry = convGeometry(c);
  const { shape } = c.facts(input(c, 0));
  const pixels = shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
  return [
    c.needs(0) ? inputGradient(c, geometry) : null,
    c.needs(1) ? weightGradient(c, geometry) : null,
    c.needs(2) ? sum(c, c.dY, pixels, false) : null,
  ];
};

export const convolution: RuleFamily = { Conv: conv };
