// Conv, ConvTranspose, Gemm and MatMul as contractions: which input is the weight, along which axes, and what can become
// of constant channels.
import { floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../../onnx/attributes.js';
import { isFloat } from '../../onnx/elements.js';
import type { NodeProto } from '../../onnx/schema/onnx_pb.js';
import { type Contraction, weightsOf } from '../contraction.js';
import { inputOf, type NodeFacts, outputOf } from '../rule.js';
import { lengthOf, type Value } from '../value.js';

function unknownNumbers(length: number): Float64Array {
  return new Float64Array(length).fill(Number.NaN);
}

/** The numbers of a constant vector of `length`, broadcast from one if need be; NaN where unknown. */
function vectorOf(value: Value | undefined, length: number): Float64Array | undefined {
  if (value === undefined) return undefined;
  const elements = value.constant ? value.data?.elements() : undefined;
  const count = elements?.length ?? 0;
  if (elements !== undefined && (count === length || count === 1)) {
    return Float64Array.from({ length }, (_, index) => elements[count === 1 ? 0 : index] ?? Number.NaN);
  }
  return value.constants[0]?.length === length ? value.constants[0] : unknownNumbers(length);
}

/** Whether a constant can be added to this bias: there is none, or it is a tensor of the right length of its own. */
function canTakeAddend(bias: Value | undefined, length: number, type: number): boolean {
  if (!isFloat(type) || bias === undefined) return isFloat(type);
  const dims = bias.data?.tensor.dims.map(Number) ?? [];
  return bias.data?.direct === true && dims.at(-1) === length && dims.slice(0, -1).every((dim) => dim === 1);
}

/** Y = conv(X, W) + B; W is [M, C / group, ...kernel], of ConvTranspose [C, M / group, ...kernel]. */
export function convolution(node: NodeFacts): Contraction {
  const { proto } = node;
  const [x, w, bias, out] = [inputOf(node, 0), inputOf(node, 1), node.inputs[2], outputOf(node)];
  const transposed = proto.opType === 'ConvTranspose';
  const rowAxis = transposed ? 1 : 0;
  const groups = intAttribute(proto, 'group', 1);
  const padded = (intsAttribute(proto, 'pads') ?? []).some((pad) => pad !== 0);
  const autoPad = stringAttribute(proto, 'auto_pad', 'NOTSET');
  const uniform = !transposed && (autoPad === 'VALID' || (autoPad === 'NOTSET' && !padded));
  const channels = lengthOf(out, 1);
  const weights = transposed && groups > 1 ? undefined : weightsOf(w, rowAxis);
  const editable = w.data?.direct === true && isFloat(w.type);
  const carries = groups === 1 && editable && weights !== undefined ? 'carrier' : 'none';
  const fold = uniform && weights !== undefined && canTakeAddend(bias, channels, w.type) ? 'bias' : carries;
  const sides = { x, xAxis: 1, w, wAxis: 1 - rowAxis, rowAxis, outAxis: 1 };
  return { ...sides, groups, grouping: 'whole', scale: 1, bias: vectorOf(bias, channels), uniform, fold, weights };
}

/** Y = alpha A' B' + beta C, the weight being B, or A where only A is constant. */
export function gemm(node: NodeFacts): Contraction {
  const { proto } = node;
  const [a, b, c, out] = [inputOf(node, 0), inputOf(node, 1), node.inputs[2], outputOf(node)];
  const transA = intAttribute(proto, 'transA', 0);
  const transB = intAttribute(proto, 'transB', 0);
  const plain = { groups: 1, grouping: 'whole', scale: floatAttribute(proto, 'alpha', 1), uniform: true } as const;
  if (a.data !== undefined && b.data === undefined) {
    const sides = { x: b, xAxis: transB, w: a, wAxis: 1 - transA, rowAxis: transA, outAxis: 0 };
    const bias = c && unknownNumbers(lengthOf(out, 0));
    return { ...sides, ...plain, bias, fold: 'none', weights: weightsOf(a, transA) };
  }
  const sides = { x: a, xAxis: 1 - transA, w: b, wAxis: transB, rowAxis: 1 - transB, outAxis: 1 };
  return { ...sides, ...plain, ...columnBias(c, out, b, proto), weights: weightsOf(b, 1 - transB) };
}

/** beta C, where C is the same for every row, and whether more can be added to it. */
function columnBias(c: Value | undefined, out: Value, b: Value, proto: NodeProto): Pick<Contraction, 'bias' | 'fold'> {
  const columns = lengthOf(out, 1);
  const beta = floatAttribute(proto, 'beta', 1);
  const rows = c?.shape?.at(-2) ?? 1;
  if (rows !== 1) return { bias: unknownNumbers(columns), fold: 'none' };
  const folds = beta === 1 && b.data !== undefined && canTakeAddend(c, columns, b.type);
  return { bias: vectorOf(c, columns)?.map((value) => value * beta), fold: folds ? 'bias' : 'none' };
}

/** Y = A B, batched. Undefined for vectors. */
export function matMul(node: NodeFacts): Contraction | undefined {
  const [a, b, out] = [inputOf(node, 0), inputOf(node, 1), outputOf(node)];
  const [rankA, rankB, rank] = [a.shape?.length ?? 0, b.shape?.length ?? 0, out.shape?.length ?? 0];
  if (rankA < 2 || rankB < 2) return undefined;
  const plain = { groups: 1, grouping: 'whole', scale: 1, bias: undefined, uniform: true } as const;
  if (a.data !== undefined && b.data === undefined) {
    const sides = { x: b, xAxis: rankB - 2, w: a, wAxis: rankA - 1, rowAxis: rankA - 2, outAxis: rank - 2 };
    return { ...sides, ...plain, fold: 'none', weights: rankA === 2 ? weightsOf(a, 0) : undefined };
  }
  const weights = rankB === 2 ? weightsOf(b, 1) : undefined;
  const sides = { x: a, xAxis: rankA - 1, w: b, wAxis: rankB - 2, rowAxis: rankB - 1, outAxis: rank - 1 };
  return { ...sides, ...plain, fold: weights !== undefined && isFloat(b.type) ? 'bias' : 'none', weights };
}
