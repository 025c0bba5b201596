// The table of all rules. An operator is in it, or marked as without a gradient, or unsupported.
import { isStandard } from '../../onnx/graph.js';
import type { NodeProto } from '../../onnx/schema/onnx_pb.js';
import { contrib } from '../opsets.js';
import { noGradient, type Rule, type RuleFamily } from '../rule.js';
import { activation } from './activation.js';
import { averagePooling } from './average-pool.js';
import { axisMaps } from './axis-map.js';
import { batchNorms } from './batch-norm.js';
import { convolution } from './convolution/conv.js';
import { dropouts } from './dropout.js';
import { elementwise } from './elementwise.js';
import { gathering } from './gather.js';
import { contribGelu, gelu } from './gelu.js';
import { layerNorms } from './layer-norm.js';
import { contribLinear, linear } from './linear.js';
import { lossOperators } from './loss.js';
import { pooling } from './pooling.js';
import { reduction } from './reduction.js';
import { shape } from './shape.js';
import { softmaxes } from './softmax.js';

// Integers, truth values and steps: nothing flows back through them.
const steps: RuleFamily = Object.fromEntries(
  [
    ...['And', 'ArgMax', 'ArgMin', 'Ceil', 'Constant', 'ConstantOfShape', 'Equal', 'Floor', 'Greater'],
    ...['GreaterOrEqual', 'IsInf', 'IsNaN', 'Less', 'LessOrEqual', 'NonZero', 'Not', 'Or'],
    ...['RandomNormalLike', 'RandomUniformLike', 'Range', 'Round', 'Shape', 'Sign', 'Size', 'Xor'],
  ].map((opType) => [opType, noGradient]),
);

/** Rules by operator of ai.onnx. */
export const rules = table([
  ...[activation, elementwise, gelu, softmaxes, linear, reduction, batchNorms, layerNorms, dropouts],
  ...[convolution, pooling, averagePooling, shape, axisMaps, gathering, lossOperators, steps],
]);

/** Rules by operator of com.microsoft, ONNX Runtime's own. */
export const contribRules = table([contribGelu, contribLinear]);

/** The rule of a node; undefined where its operator has none. */
export function ruleOf(node: NodeProto): Rule | typeof noGradient | undefined {
  if (isStandard(node)) return rules.get(node.opType);
  return node.domain === contrib ? contribRules.get(node.opType) : undefined;
}

function table(families: readonly RuleFamily[]): ReadonlyMap<string, Rule | typeof noGradient> {
  return new Map(families.flatMap((family) => Object.entries(family)));
}
