// A weight tensor as a matrix of outputs by inputs, from its operator and shape: how rows and columns lie in memory.
// One view cuts it into output channels and blocks, another into groups along the input dimension for n:m.

import type { NativeMatrixView } from '../native/groups-contract.js';
import { intAttribute } from '../onnx/attributes.js';
import type { WeightUse } from './weight-uses.js';

/** Both views of a weight. */
export interface MatrixViews {
  /** Rows are output channels; columns are inputs times kernel positions, as ONNX stores convolutions. */
  outputs: NativeMatrixView;
  /** Each row is one output channel at one kernel position; columns are input channels. */
  inputs: NativeMatrixView;
}

const product = (dims: readonly number[]): number => dims.reduce((all, dim) => all * dim, 1);
const view = (batches: number, outer: number, rows: number, inner: number): NativeMatrixView => ({
  batches,
  outer,
  rows,
  inner,
});

/**
 * The views of a weight, or the reason why it has none: it is used in several ways, or in none that is known.
 *
 * @param shape As it is stored, of rank 2 or more.
 */
export function matrixViews(uses: readonly WeightUse[], shape: readonly number[]): MatrixViews | string {
  const [first, ...others] = uses.map((use) => viewsOf(use, shape));
  if (first === undefined) return 'not the weight of a Conv, ConvTranspose, Gemm or MatMul: it has no output channels';
  const different = others.find((other) => JSON.stringify(other) !== JSON.stringify(first));
  return different === undefined ? first : 'used in several ways: its rows are outputs of one use and not of another';
}

function viewsOf({ node, input, layout }: WeightUse, shape: readonly number[]): MatrixViews | string {
  if (typeof layout === 'object') return `reaches its operator through ${layout.through}, which hides its rows`;
  if (node.opType === 'Conv' || node.opType === 'ConvTranspose') {
    if (layout === 'swapped') return 'reaches its operator through Transpose, which hides its rows';
    return node.opType === 'Conv' ? convolution(shape) : transposedConvolution(shape, intAttribute(node, 'group', 1));
  }
  // y = A B with outputs along the rows of A and the columns of B; `flipped`: rows are stored as columns.
  const attribute = node.opType === 'Gemm' ? intAttribute(node, input === 0 ? 'transA' : 'transB', 0) : 0;
  const flipped = (attribute === 1) !== (layout === 'swapped');
  return (input === 0) === flipped ? inputsFirst(shape) : outputsFirst(shape);
}

/** [M, C, ...kernel] */
function convolution(shape: readonly number[]): MatrixViews {
  const [outputs = 0, inputs = 0, ...kernel] = shape;
  return { outputs: view(1, 1, outputs, inputs * product(kernel)), inputs: view(outputs, inputs, product(kernel), 1) };
}

/** [C, M / groups, ...kernel]: group g reads the g-th part of C and makes the g-th part of the outputs. */
function transposedConvolution(shape: readonly number[], groups: number): MatrixViews | string {
  const [inputs = 0, outputs = 0, ...kernel] = shape;
  if (groups < 1 || inputs % groups !== 0) return `has ${inputs} input channels, which ${groups} groups do not divide`;
  const part = inputs / groups;
  return {
    outputs: view(groups, part, outputs, product(kernel)),
    inputs: view(groups, part, outputs * product(kernel), 1),
  };
}

/** [..., outputs, inputs] */
function outputsFirst(shape: readonly number[]): MatrixViews {
  const batches = product(shape.slice(0, -2));
  const [outputs = 0, inputs = 0] = shape.slice(-2);
  return { outputs: view(1, batches, outputs, inputs), inputs: view(1, 1, batches * outputs, inputs) };
}

/** [..., inputs, outputs] */
function inputsFirst(shape: readonly number[]): MatrixViews {
  const batches = product(shape.slice(0, -2));
  const [inputs = 0, outputs = 0] = shape.slice(-2);
  return { outputs: view(1, batches * inputs, outputs, 1), inputs: view(batches, inputs, outputs, 1) };
}
