// The table of all lowerings, and the operators of com.microsoft that need none. What is in neither is refused.
import { contrib } from '../../../autodiff/opsets.js';
import { isStandard } from '../../../onnx/graph.js';
import type { NodeProto } from '../../../onnx/schema/onnx_pb.js';
import { activations } from './activations.js';
import { arithmetic } from './arithmetic.js';
import { indexing } from './indexing.js';
import { loss } from './loss.js';
import type { Lowering } from './lowering.js';
import { normalization } from './normalization.js';
import { windows } from './windows.js';

const lowerings: ReadonlyMap<string, Lowering> = new Map(
  [activations, arithmetic, indexing, loss, normalization, windows].flatMap((family) => Object.entries(family)),
);

/** Contrib operators that the stock runtime computes on the CPU; each is seen to in the tests. */
const stock = new Set(['BiasGelu', 'FastGelu', 'FusedGemm', 'FusedMatMul', 'Gelu', 'QuickGelu', 'TransposeMatMul']);

/** Operators that the training builds registered in ai.onnx though ONNX does not have them. */
const disguised = new Set(['AveragePoolGrad', 'MaxPoolGrad']);

/** The lowering of a node; undefined where the stock runtime has the operator. */
export function loweringOf(node: NodeProto): Lowering | undefined {
  return isStandard(node) && !disguised.has(node.opType) ? undefined : lowerings.get(node.opType);
}

/** Whether neither a lowering nor the stock runtime knows the operator. */
export function isUnknown(node: NodeProto): boolean {
  if (isStandard(node)) return disguised.has(node.opType) && !lowerings.has(node.opType);
  return node.domain !== contrib || !(lowerings.has(node.opType) || stock.has(node.opType));
}
