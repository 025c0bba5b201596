// Arithmetic and functions element by element. Gradients come in the output's shape; the walk unbroadcasts them.
import type { Value } from '../../onnx/build/graph-builder.js';
import {
  type Broadcast,
  floatAttribute,
  input,
  output,
  type RuleContext,
  type RuleFamily,
  scalarLike,
} from '../rule.js';

function full(context: RuleContext, value: Value): Broadcast {
  return { value, shape: context.facts(output(context)).shape };
}

/** dY where the condition holds, else 0. */
function where(c: RuleContext, condition: Value, factor: Value): Value {
  return c.emit('Where', [condition, factor, scalarLike(c, 0, output(c))]);
}

export const elementwise: RuleFamily = {
  Identity: ({ dY }) => [dY],
  Add: (c) => [full(c, c.dY), full(c, c.dY)],
  Sub: (c) => [full(c, c.dY), c.needs(1) ? full(c, c.emit('Neg', [c.dY])) : null],
  // d(a b) = b da + a db
  Mul: (c) => [0, 1].map((i) => (c.needs(i) ? full(c, c.emit('Mul', [c.dY, input(c, 1 - i)])) : null)),
  // d(a / b) = da / b - (a / b) db / b
  Div: (c) => {
    const quotient = c.emit('Div', [c.dY, input(c, 1)]);
    const second = () => full(c, c.emit('Neg', [c.emit('Mul', [quotient, output(c)])]));
    return [full(c, quotient), c.needs(1) ? second() : null];
  },
  Sum: (c) => c.inputs.map(() => full(c, c.dY)),
  Mean: (c) => {
    const share = c.emit('Mul', [c.dY, scalarLike(c, 1 / c.inputs.length, output(c))]);
    return c.inputs.map(() => full(c, share));
  },
  Neg: (c) => [c.emit('Neg', [c.dY])],
  // 0 where x is 0
  Abs: (c) => [c.emit('Mul', [c.dY, c.emit('Sign', [input(c, 0)])])],
  // d sqrt(x) = dx / (2 y)
  Sqrt: (c) => [c.emit('Div', [c.dY, c.emit('Mul', [output(c), scalarLike(c, 2, input(c, 0))])])],
  Exp: (c) => [c.emit('Mul', [c.dY, output(c)])],
  Log: (c) => [c.emit('Div', [c.dY, input(c, 0)])],
  // d(1 / x) = -y^2 dx
  Reciprocal: (c) => [c.emit('Neg', [c.emit('Mul', [c.dY, c.emit('Mul', [output(c), output(c)])])])],
  // 0 where x is 0
  Relu: (c) => [where(c, c.emit('Greater', [input(c, 0), scalarLike(c, 0, input(c, 0))]), c.dY)],
  // dY where x >= 0, else alpha dY
  LeakyRelu: (c) => {
    const x = input(c, 0);
    const scaled = c.emit('Mul', [c.dY, scalarLike(c, floatAttribute(c.node, 'alpha', 0.01), x)]);
    return [c.emit('Where', [c.emit('Less', [x, scalarLike(c, 0, x)]), scaled, c.dY])];
  },
  // dy = y (1 - y) dx
  Sigmoid: (c) => {
    const y = output(c);
    return [c.emit('Mul', [c.dY, c.emit('Mul', [y, c.emit('Sub', [scalarLike(c, 1, input(c, 0)), y])])])];
  },
  // dy = (1 - y^2) dx
  Tanh: (c) => {
    const y = output(c);
    return [c.emit('Mul', [c.dY, c.emit('Sub', [scalarLike(c, 1, input(c, 0)), c.emit('Mul', [y, y])])])];
  },
  // dy = sigmoid(x) dx
  Softplus: (c) => [c.emit('Mul', [c.dY, c.emit('Sigmoid', [input(c, 0)])])],
};
