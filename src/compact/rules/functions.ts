// What elementwise operators make of one number for each operand. NaN stands for a number that is not known, and comes
// through all arithmetic; where the result is known all the same (zero times anything), the function says so.
import { findAttribute, floatAttribute, stringAttribute } from '../../onnx/attributes.js';
import type { NodeProto } from '../../onnx/schema/onnx_pb.js';

export type NumberFunction = (x: number, node: NodeProto, others: readonly number[]) => number;

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
// ln(1 + e^x) without overflow.
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** erf by its Taylor series up to 3 and the continued fraction of erfc beyond, accurate to 1e-12. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (Number.isNaN(z)) return Number.NaN;
  if (z > 6) return Math.sign(x);
  if (z > 3) {
    let fraction = 0;
    for (let step = 60; step > 0; step--) fraction = step / 2 / (z + fraction);
    return Math.sign(x) * (1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction));
  }
  let term = z;
  let sum = z;
  for (let step = 1; step < 100; step++) {
    term *= (-z * z) / step;
    sum += term / (2 * step + 1);
  }
  return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
}

function gelu(x: number, node: NodeProto): number {
  const tanh = stringAttribute(node, 'approximate', 'none') === 'tanh';
  if (tanh) return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** Bounds are attributes before opset 11 and operands after; an absent one is no bound. */
function clip(x: number, node: NodeProto, [low, high]: readonly number[]): number {
  const least = low ?? floatAttribute(node, 'min', Number.NEGATIVE_INFINITY);
  const most = high ?? floatAttribute(node, 'max', Number.POSITIVE_INFINITY);
  return Math.min(Math.max(x, least), most);
}

function selu(x: number, node: NodeProto): number {
  const alpha = floatAttribute(node, 'alpha', 1.6732632423543772);
  return floatAttribute(node, 'gamma', 1.0507009873554805) * (x > 0 ? x : alpha * Math.expm1(x));
}

function hardSigmoid(x: number, node: NodeProto): number {
  const line = floatAttribute(node, 'alpha', 0.2) * x + floatAttribute(node, 'beta', 0.5);
  return Math.max(0, Math.min(1, line));
}

/** Functions of one operand; Clip has its bounds as well. */
export const unary: Readonly<Record<string, NumberFunction>> = {
  Identity: (x) => x,
  Dropout: (x) => x,
  Abs: (x) => Math.abs(x),
  Ceil: (x) => Math.ceil(x),
  Celu: (x, node) => {
    const alpha = floatAttribute(node, 'alpha', 1);
    return Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha));
  },
  Clip: clip,
  Elu: (x, node) => (x >= 0 ? x : floatAttribute(node, 'alpha', 1) * Math.expm1(x)),
  Erf: erf,
  Exp: (x) => Math.exp(x),
  Floor: (x) => Math.floor(x),
  Gelu: gelu,
  HardSigmoid: hardSigmoid,
  HardSwish: (x) => x * Math.max(0, Math.min(1, x / 6 + 0.5)),
  LeakyRelu: (x, node) => (x >= 0 ? x : floatAttribute(node, 'alpha', 0.01) * x),
  Log: (x) => Math.log(x),
  Mish: (x) => x * Math.tanh(softplus(x)),
  Neg: (x) => -x,
  Reciprocal: (x) => 1 / x,
  Relu: (x) => Math.max(0, x),
  Selu: selu,
  Sigmoid: sigmoid,
  Sign: (x) => Math.sign(x),
  Softplus: softplus,
  Softsign: (x) => x / (1 + Math.abs(x)),
  Sqrt: (x) => Math.sqrt(x),
  Swish: (x, node) => x * sigmoid(floatAttribute(node, 'alpha', 1) * x),
  Tanh: (x) => Math.tanh(x),
  ThresholdedRelu: (x, node) => (x > floatAttribute(node, 'alpha', 1) || Number.isNaN(x) ? x : 0),
};

/** Operators of one operand that change the type: numbers are not followed through them, channels are. */
export const unfollowed = ['Cos', 'IsInf', 'IsNaN', 'Not', 'Round', 'Shrink', 'Sin', 'Tan'];

type Combination = (operands: readonly number[]) => number;

const sum: Combination = (operands) => operands.reduce((total, value) => total + value, 0);

/** Functions of several operands, which are broadcast. */
export const combined: Readonly<Record<string, Combination>> = {
  Add: sum,
  Sum: sum,
  Sub: ([a = Number.NaN, b = Number.NaN]) => a - b,
  // Zero times a number that is not known is zero, as weights and activations are finite.
  Mul: (operands) => (operands.includes(0) ? 0 : operands.reduce((product, value) => product * value, 1)),
  Div: ([a = Number.NaN, b = Number.NaN]) => a / b,
  Pow: ([a = Number.NaN, b = Number.NaN]) => a ** b,
  Max: (operands) => Math.max(...operands),
  Min: (operands) => Math.min(...operands),
  Mean: (operands) => sum(operands) / operands.length,
  PRelu: ([x = Number.NaN, slope = Number.NaN]) => (x >= 0 ? x : x * slope),
};

/** Operators of several operands whose numbers are not followed; channels are. */
export const combinedUnfollowed = [
  ...['And', 'Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Mod', 'Or', 'Where', 'Xor'],
];

/** Whether a Cast keeps numbers as they are but for rounding: to a float type. */
export function castsToFloat(node: NodeProto): boolean {
  const to = Number(findAttribute(node, 'to')?.i ?? 0n);
  return to === 1 || to === 10 || to === 11 || to === 16;
}
