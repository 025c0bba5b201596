// Where each tensor is the weight of an operator, and how it gets there: as it is stored, transposed, or in a way that
// says nothing about its rows and columns. Looks at the graph only.
import { intsAttribute } from '../onnx/attributes.js';
import { type Definition, isPassThrough, isStandard, lookUp, type Scope, scopesOf } from '../onnx/graph.js';
import type { ModelProto, NodeProto, TensorProto } from '../onnx/schema/onnx_pb.js';

/** The inputs that are weights, by operator. */
export const weightInputs: Readonly<Record<string, readonly number[]>> = {
  Conv: [1],
  ConvTranspose: [1],
  Gemm: [0, 1],
  MatMul: [0, 1],
};

/** One use of a tensor as a weight. */
export interface WeightUse {
  node: NodeProto;
  scope: Scope;
  /** Which input of the node. */
  input: number;
  /** `swapped`: through one Transpose of a matrix. Otherwise the operator that hides the layout. */
  layout: 'stored' | 'swapped' | { through: string };
}

/** Operators that leave every element in its place. */
const inPlace: ReadonlySet<string> = new Set(['Identity', 'Cast', 'CastLike', 'QuantizeLinear', 'DequantizeLinear']);

const MAX_HANDED_ON = 1000;

/** All uses of each tensor as a weight, in the order of the nodes. */
export function weightUsesOf(model: ModelProto): Map<TensorProto, WeightUse[]> {
  const uses = new Map<TensorProto, WeightUse[]>();
  const nodes = scopesOf(model).flatMap((scope) => scope.nodes.map((node) => ({ scope, node })));
  for (const { scope, node } of nodes) {
    for (const input of isStandard(node) ? (weightInputs[node.opType] ?? []) : []) {
      const root = rootOf(lookUp(scope, node.input[input] ?? ''));
      if (root === undefined) continue;
      const known = uses.get(root.tensor) ?? [];
      uses.set(root.tensor, [...known, { node, scope, input, layout: root.layout }]);
    }
  }
  return uses;
}

/** The tensor that a value hands on, and how. Undefined where it is computed. */
export function rootOf(
  start: Definition | undefined,
): { tensor: TensorProto; layout: WeightUse['layout'] } | undefined {
  const path: NodeProto[] = [];
  let definition = start;
  while (definition?.kind === 'computed' && isPassThrough(definition.node) && path.length < MAX_HANDED_ON) {
    path.push(definition.node);
    definition = lookUp(definition.scope, definition.node.input[0] ?? '');
  }
  return definition?.kind === 'tensor' ? { tensor: definition.tensor, layout: layoutOf(path) } : undefined;
}

function layoutOf(path: readonly NodeProto[]): WeightUse['layout'] {
  const hiding = path.find((node) => !inPlace.has(node.opType) && !swaps(node));
  if (hiding !== undefined) return { through: hiding.opType };
  return path.filter(swaps).length % 2 === 1 ? 'swapped' : 'stored';
}

/** Whether a node transposes a matrix. */
function swaps(node: NodeProto): boolean {
  const order = intsAttribute(node, 'perm');
  return node.opType === 'Transpose' && order?.length === 2 && order[0] === 1;
}
