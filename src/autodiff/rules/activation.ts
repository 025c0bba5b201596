// Activations: functions of one value with a kink or a formula of their own. Gelu is in gelu.ts. At a kink the slope is
// that of the left side, as in PyTorch, but for Clip, whose bounds pass the gradient.
import { float } from '../../onnx/build/attributes.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import { arithmetic } from '../arithmetic.js';
import {
  type Broadcast,
  floatAttribute,
  floatType,
  input,
  output,
  type Rule,
  type RuleContext,
  type RuleFamily,
  scalarLike,
} from '../rule.js';

// Times any normal float this is at least 1. (Of the positive floats, only denormals below 3e-39 do not get there.)
const steep = 3.4e38;

/**
 * `factor` where v > 0, else 0. HardSigmoid is max(0, min(1, alpha v)): the step in one pass that keeps up with memory.
 * Times dY for [128,16,32,32] on 1 thread: 1.3 ms; Where(Greater) 2.0, Cast(Greater) 1.6, Sign 2.9.
 */
function step(c: RuleContext, v: Value, factor = 1): Value {
  const { greater, mul, where } = arithmetic(c);
  if (c.facts(input(c, 0)).dtype !== 'float32') return where(greater(v, 0), factor, 0);
  const one = c.emit('HardSigmoid', [v], { alpha: float(steep), beta: float(0) });
  return factor === 1 ? one : mul(one, factor);
}

// dY where y > 0: reads y, so that x can be forgotten
const relu: Rule = (c) => [c.emit('Mul', [c.dY, step(c, output(c))])];

// dY where x > 0, else alpha dY; y has the sign of x. The factor is clipped between alpha and 1: 1.5 ms where Where takes
// 2.9.
const leakyRelu: Rule = (c) => {
  const { greater, mul, where } = arithmetic(c);
  const x = input(c, 0);
  const alpha = floatAttribute(c.node, 'alpha', 0.01);
  if (c.facts(x).dtype !== 'float32' || alpha < 0 || alpha > 1) return [mul(c.dY, where(greater(x, 0), 1, alpha))];
  return [mul(c.dY, c.emit('Clip', [mul(output(c), steep), scalarLike(c, alpha, x), scalarLike(c, 1, x)]))];
};

// dx = dY where x > 0, else s dY; ds = dY min(x, 0)
const pRelu: Rule = (c) => {
  const { greater, mul, where } = arithmetic(c);
  const [x, slope] = [input(c, 0), input(c, 1)];
  const dSlope = (): Broadcast => ({
    value: mul(c.dY, c.emit('Min', [x, scalarLike(c, 0, x)])),
    shape: c.facts(x).shape,
  });
  return [c.needs(0) ? mul(c.dY, where(greater(x, 0), 1, slope)) : null, c.needs(1) ? dSlope() : null];
};

// y = alpha (e^x - 1) where x <= 0: slope y + alpha
const elu: Rule = (c) => {
  const { add, greater, mul, where } = arithmetic(c);
  const below = add(output(c), floatAttribute(c.node, 'alpha', 1));
  return [mul(c.dY, where(greater(input(c, 0), 0), 1, below))];
};

// y = clip(x, low, high): dY where that changes nothing; a bound gets the dY of what it clips
const clip: Rule = (c) => {
  const { greater, less, mul, where } = arithmetic(c);
  const x = input(c, 0);
  const { shape } = c.facts(x);
  const inside = () => c.emit('Cast', [c.emit('Equal', [x, output(c)])], { to: floatType(c, x) });
  return [
    c.needs(0) ? mul(c.dY, inside()) : null,
    c.needs(1) ? { value: where(less(x, input(c, 1)), c.dY, 0), shape } : null,
    c.needs(2) ? { value: where(greater(x, input(c, 2)), c.dY, 0), shape } : null,
  ];
};

// y = clip(alpha x + beta, 0, 1): alpha dY where 0 < y < 1, that is, where y (1 - y) > 0
const hardSigmoid: Rule = (c) => {
  const { mul, sub } = arithmetic(c);
  const y = output(c);
  return [mul(c.dY, step(c, mul(y, sub(1, y)), floatAttribute(c.node, 'alpha', 0.2)))];
};

// y = x h with h = clip(x / 6 + 1 / 2, 0, 1): h + x / 6 where 0 < h < 1
const hardSwish: Rule = (c) => {
  const { add, mul, sub } = arithmetic(c);
  const x = input(c, 0);
  const h = c.emit('HardSigmoid', [x], { alpha: float(1 / 6), beta: float(0.5) });
  return [mul(c.dY, add(h, mul(x, step(c, mul(h, sub(1, h)), 1 / 6))))];
};

// y = x t with t = tanh(log(1 + e)) = n / (n + 2), n = e^2 + 2 e, e = exp(x): t + 4 x e (e + 1) / (n + 2)^2.
// Above 20, where t is 1 in float32, e would overflow.
const mish: Rule = (c) => {
  const { add, div, mul, of } = arithmetic(c);
  const x = input(c, 0);
  const e = of('Exp', c.emit('Min', [x, scalarLike(c, 20, x)]));
  const n = mul(e, add(e, 2));
  const below = add(n, 2);
  const t = div(n, below);
  const slope = div(mul(mul(e, add(e, 1)), mul(x, 4)), mul(below, below));
  return [mul(c.dY, add(t, slope))];
};

// dy = y (1 - y) dx
const sigmoid: Rule = (c) => {
  const { mul, sub } = arithmetic(c);
  return [mul(c.dY, mul(output(c), sub(1, output(c))))];
};

// dy = (1 - y^2) dx
const tanh: Rule = (c) => {
  const { mul, sub } = arithmetic(c);
  return [mul(c.dY, sub(1, mul(output(c), output(c))))];
};

// dy = 2 / sqrt(pi) e^(-x^2) dx
const erf: Rule = (c) => {
  const { mul, of } = arithmetic(c);
  const x = input(c, 0);
  return [mul(c.dY, mul(of('Exp', of('Neg', mul(x, x))), 2 / Math.sqrt(Math.PI)))];
};

export const activation: RuleFamily = {
  Clip: clip,
  Elu: elu,
  Erf: erf,
  HardSigmoid: hardSigmoid,
  HardSwish: hardSwish,
  LeakyRelu: leakyRelu,
  Mish: mish,
  PRelu: pRelu,
  Relu: relu,
  Sigmoid: sigmoid,
  // dy = sigmoid(x) dx
  Softplus: (c) => [c.emit('Mul', [c.dY, c.emit('Sigmoid', [input(c, 0)])])],
  Tanh: tanh,
};
