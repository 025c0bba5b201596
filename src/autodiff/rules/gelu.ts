// The Gelu family, ONNX's and ONNX Runtime's. Slopes are functions of x, so that a bias can be added first.
import type { Value } from '../../onnx/build/graph-builder.js';
import { arithmetic } from '../arithmetic.js';
import {
  floatAttribute,
  input,
  output,
  type Rule,
  type RuleContext,
  type RuleFamily,
  stringAttribute,
} from '../rule.js';

// y = x Phi(x): Phi(x) + x phi(x), with Phi(x) = (1 + erf(x / sqrt 2)) / 2 and phi its derivative
function exactSlope(c: RuleContext, x: Value): Value {
  const { add, mul, of } = arithmetic(c);
  const below = mul(add(of('Erf', mul(x, Math.SQRT1_2)), 1), 0.5);
  const density = mul(of('Exp', mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return add(below, mul(x, density));
}

// y = x (1 + t) / 2 with t = tanh(k (x + a x^3)): (1 + t) / 2 + x (1 - t^2) k (1 + 3 a x^2) / 2
function tanhSlope(c: RuleContext, x: Value): Value {
  const { add, sub, mul, of } = arithmetic(c);
  const [k, a] = [Math.sqrt(2 / Math.PI), 0.044715];
  const square = mul(x, x);
  const t = of('Tanh', mul(x, add(mul(square, k * a), k)));
  const inner = mul(sub(1, mul(t, t)), mul(x, add(mul(square, 1.5 * k * a), 0.5 * k)));
  return add(mul(add(t, 1), 0.5), inner);
}

// y = x s with s = sigmoid(a x): s (1 + a x (1 - s))
function sigmoidSlope(c: RuleContext, x: Value): Value {
  const { add, sub, mul, of } = arithmetic(c);
  const scaled = mul(x, floatAttribute(c.node, 'alpha', 1.702));
  const s = of('Sigmoid', scaled);
  return mul(s, add(mul(scaled, sub(1, s)), 1));
}

type Slope = (c: RuleContext, x: Value) => Value;

const unary =
  (slope: Slope): Rule =>
  (c) => [c.emit('Mul', [c.dY, slope(c, input(c, 0))])];

/** Of the sum of input 0 and a bias, which may be missing. */
const biased =
  (slope: Slope): Rule =>
  (c) => {
    const [x, bias] = [input(c, 0), input(c, 1)];
    const total = bias === '' ? x : c.emit('Add', [x, bias]);
    const gradient = { value: c.emit('Mul', [c.dY, slope(c, total)]), shape: c.facts(output(c)).shape };
    return [gradient, bias === '' ? null : gradient];
  };

export const gelu: RuleFamily = {
  Gelu: (c) => unary(stringAttribute(c.node, 'approximate', 'none') === 'tanh' ? tanhSlope : exactSlope)(c),
};

/** Of com.microsoft. */
export const contribGelu: RuleFamily = {
  Gelu: unary(exactSlope),
  FastGelu: biased(tanhSlope),
  QuickGelu: unary(sigmoidSlope),
  BiasGelu: biased(exactSlope),
};
