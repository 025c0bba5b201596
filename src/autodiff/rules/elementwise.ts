// Arithmetic element by element. Gradients come in the output's shape; the walk unbroadcasts them.
import type { Value } from '../../onnx/build/graph-builder.js';
import { arithmetic } from '../arithmetic.js';
import {
  type Broadcast,
  constantOf,
  floatType,
  type Gradients,
  input,
  output,
  type Rule,
  type RuleContext,
  type RuleFamily,
  scalarLike,
} from '../rule.js';

function full(context: RuleContext, value: Value): Broadcast {
  return { value, shape: context.facts(output(context)).shape };
}

// d(a / b) = da / b - (a / b) db / b
const div: Rule = (c) => {
  const { div, mul, of } = arithmetic(c);
  const quotient = div(c.dY, input(c, 1));
  return [full(c, quotient), c.needs(1) ? full(c, of('Neg', mul(quotient, output(c)))) : null];
};

// d(x^p) = p x^(p - 1) dx + x^p log(x) dp. The exponent may be of another type, and is not trained where x may be
// negative: the logarithm is NaN there, and 0 at 0.
const pow: Rule = (c) => {
  const { mul, of, sub, where } = arithmetic(c);
  const [x, p] = [input(c, 0), input(c, 1)];
  const typed = () => (c.facts(x).dtype === c.facts(p).dtype ? p : c.emit('Cast', [p], { to: floatType(c, x) }));
  const dX = () => {
    if (constantOf(c, p)?.join() === '2') return mul(c.dY, mul(x, 2)); // Pow with exponent 1 is slow
    // An exponent of 0 makes a constant, also where x^-1 is infinite.
    const factor = typed();
    const less = where(c.emit('Equal', [factor, scalarLike(c, 0, x)]), 0, sub(factor, 1));
    return mul(c.dY, mul(factor, c.emit('Pow', [x, less])));
  };
  const dP = () => {
    const zero = c.emit('Equal', [x, scalarLike(c, 0, x)]);
    return mul(c.dY, mul(output(c), of('Log', where(zero, 1, x))));
  };
  return [c.needs(0) ? full(c, dX()) : null, c.needs(1) ? full(c, dP()) : null];
};

// The largest, or smallest, gets dY; several that are equal share it.
const extreme: Rule = (c) => {
  const { div, mul } = arithmetic(c);
  if (c.inputs.length === 1) return [c.dY];
  const to = floatType(c, output(c));
  const chosen = c.inputs.map((x) => c.emit('Cast', [c.emit('Equal', [x, output(c)])], { to }));
  const share = div(c.dY, c.emit('Sum', chosen));
  return chosen.map((mask, index) => (c.needs(index) ? full(c, mul(share, mask)) : null));
};

const where: Rule = (c) => {
  const { where } = arithmetic(c, output(c));
  return [
    null,
    c.needs(1) ? full(c, where(input(c, 0), c.dY, 0)) : null,
    c.needs(2) ? full(c, where(input(c, 0), 0, c.dY)) : null,
  ];
};

const mean: Rule = (c) => {
  const share = arithmetic(c).mul(c.dY, 1 / c.inputs.length);
  return c.inputs.map(() => full(c, share));
};

// Integers on either side carry nothing, and then the walk does not ask.
const cast = (c: RuleContext): Gradients => {
  const { dtype } = c.facts(input(c, 0));
  const to = { float32: 1, float16: 10, float64: 11, bfloat16: 16 }[dtype as string];
  return [to === undefined ? null : c.emit('Cast', [c.dY], { to })];
};

export const elementwise: RuleFamily = {
  Identity: ({ dY }) => [dY],
  Cast: cast,
  CastLike: cast,
  Add: (c) => [full(c, c.dY), full(c, c.dY)],
  Sub: (c) => [full(c, c.dY), c.needs(1) ? full(c, c.emit('Neg', [c.dY])) : null],
  // d(a b) = b da + a db
  Mul: (c) => [0, 1].map((i) => (c.needs(i) ? full(c, c.emit('Mul', [c.dY, input(c, 1 - i)])) : null)),
  Div: div,
  Pow: pow,
  Sum: (c) => c.inputs.map(() => full(c, c.dY)),
  Mean: mean,
  Max: extreme,
  Min: extreme,
  Where: where,
  Neg: (c) => [c.emit('Neg', [c.dY])],
  // 0 where x is 0
  Abs: (c) => [c.emit('Mul', [c.dY, c.emit('Sign', [input(c, 0)])])],
  // d sqrt(x) = dx / (2 y)
  Sqrt: (c) => [c.emit('Div', [c.dY, arithmetic(c).mul(output(c), 2)])],
  // d atan(x) = dx / (1 + x^2)
  Atan: (c) => {
    const { add, div, mul } = arithmetic(c);
    return [div(c.dY, add(mul(input(c, 0), input(c, 0)), 1))];
  },
  Exp: (c) => [c.emit('Mul', [c.dY, output(c)])],
  Log: (c) => [c.emit('Div', [c.dY, input(c, 0)])],
  // d(1 / x) = -y^2 dx
  Reciprocal: (c) => [c.emit('Neg', [c.emit('Mul', [c.dY, c.emit('Mul', [output(c), output(c)])])])],
};
