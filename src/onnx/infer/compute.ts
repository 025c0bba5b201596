// Shapes of operators that compute: elementwise, normalisation, products of matrices, reductions.
import { intAttribute } from '../attributes.js';
import { axesOf } from './layout.js';
import { hasInput, type InferContext, type InferFamily, type InferRule } from './rule.js';
import { broadcast, type Dim, frontAxis, type Shape } from './shape.js';

/** Operators of one output whose shape is that of input 0. */
export const sameAsInput = [
  ...['Abs', 'Acos', 'Acosh', 'Asin', 'Asinh', 'Atan', 'Atanh', 'BitShift', 'Cast', 'CastLike', 'Ceil', 'Celu', 'Clip'],
  ...['Cos', 'Cosh', 'CumSum', 'Elu', 'Erf', 'Exp', 'Floor', 'Gelu', 'HardSigmoid', 'HardSwish', 'Hardmax'],
  ...['Identity', 'InstanceNormalization', 'GroupNormalization', 'IsInf', 'IsNaN', 'LRN', 'LayerNormalization'],
  ...['LeakyRelu', 'Log', 'LogSoftmax', 'LpNormalization', 'MeanVarianceNormalization', 'Mish', 'Neg', 'Not', 'PRelu'],
  ...['QuantizeLinear', 'DequantizeLinear', 'Reciprocal', 'Relu', 'Round', 'Selu', 'Shrink', 'Sigmoid', 'Sign', 'Sin'],
  ...['RMSNormalization', 'Sinh', 'Softmax', 'Softplus', 'Softsign', 'Sqrt', 'Swish', 'Tan', 'Tanh', 'ThresholdedRelu'],
  ...['BatchNormalization', 'Trilu'],
];

const broadcasting = [
  ...['Add', 'And', 'BitwiseAnd', 'BitwiseOr', 'BitwiseXor', 'Div', 'Equal', 'Greater', 'GreaterOrEqual', 'Less'],
  ...['LessOrEqual', 'Max', 'Mean', 'Min', 'Mod', 'Mul', 'Or', 'Pow', 'Sub', 'Sum', 'Where', 'Xor'],
];

const reductions = [
  ...['ReduceL1', 'ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp', 'ReduceMax', 'ReduceMean', 'ReduceMin', 'ReduceProd'],
  ...['ReduceSum', 'ReduceSumSquare'],
];

/** The axes that a reduction folds, counted from the front. Undefined where they are not constant. */
export function reducedAxes(c: InferContext): number[] | undefined {
  const rank = c.shape(0)?.length;
  if (rank === undefined) return undefined;
  const given = axesOf(c, rank);
  if (given !== undefined && given.length > 0) return given;
  if (given === undefined && hasInput(c, 1)) return undefined;
  return intAttribute(c.node, 'noop_with_empty_axes', 0) === 1 ? [] : Array.from({ length: rank }, (_, axis) => axis);
}

const reduce: InferRule = (c) => {
  const x = c.shape(0);
  const axes = reducedAxes(c);
  if (x === undefined || axes === undefined) return [];
  const keep = intAttribute(c.node, 'keepdims', 1) === 1;
  return [keep ? x.map((dim, axis) => (axes.includes(axis) ? 1 : dim)) : x.filter((_, axis) => !axes.includes(axis))];
};

const elementwise: InferRule = (c) => {
  const shapes = c.node.input.flatMap((name, index) => (name === '' ? [] : [c.shape(index)]));
  const known = shapes.filter((shape) => shape !== undefined);
  return known.length < shapes.length ? [] : [broadcast(known, c.symbols)];
};

const same: InferRule = (c) => [c.shape(0)];

/** Batched product: [..., M, K] x [..., K, N]; vectors are a row or a column that goes again. */
const matMul: InferRule = (c) => {
  const [a, b] = [c.shape(0), c.shape(1)];
  if (a === undefined || b === undefined || a.length === 0 || b.length === 0) return [];
  const batch = broadcast([a.slice(0, -2), b.slice(0, -2)], c.symbols);
  const rows: Shape = a.length > 1 ? a.slice(-2, -1) : [];
  const columns: Shape = b.length > 1 ? b.slice(-1) : [];
  return [[...batch, ...rows, ...columns]];
};

const gemm: InferRule = (c) => {
  const side = (input: number, transposed: boolean): Dim => c.shape(input)?.[transposed ? 1 : 0] ?? c.symbols.fresh();
  const rows = side(0, intAttribute(c.node, 'transA', 0) === 1);
  return [[rows, side(1, intAttribute(c.node, 'transB', 0) === 0)]];
};

const gather: InferRule = (c) => {
  const [x, indices] = [c.shape(0), c.shape(1)];
  if (x === undefined || indices === undefined) return [];
  const axis = frontAxis(intAttribute(c.node, 'axis', 0), x.length);
  return [[...x.slice(0, axis), ...indices, ...x.slice(axis + 1)]];
};

export const compute: InferFamily = {
  ...Object.fromEntries(sameAsInput.map((op) => [op, same])),
  ...Object.fromEntries(broadcasting.map((op) => [op, elementwise])),
  ...Object.fromEntries(reductions.map((op) => [op, reduce])),
  Dropout: (c) => [c.shape(0), c.shape(0)],
  MatMul: matMul,
  Gemm: gemm,
  Gather: gather,
  Shape: (c) => [[c.contents(-1)?.length ?? c.symbols.fresh()]],
  Size: () => [[]],
  ConstantOfShape: (c) => [c.contents(0)],
  ArgMax: (c) => [argShape(c)],
  ArgMin: (c) => [argShape(c)],
};

function argShape(c: InferContext): Shape | undefined {
  const x = c.shape(0);
  const axis = frontAxis(intAttribute(c.node, 'axis', 0), x?.length ?? 0);
  const keep = intAttribute(c.node, 'keepdims', 1) === 1;
  return keep ? x?.map((dim, at) => (at === axis ? 1 : dim)) : x?.filter((_, at) => at !== axis);
}
