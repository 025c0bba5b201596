// The rules by operator. What is not here, or comes in a form that its rule does not know, is opaque.
import { isStandard } from '../../onnx/graph.js';
import type { NodeFacts, Rule, RuleFamily } from '../rule.js';
import { channelwise } from './channelwise.js';
import { contractions } from './contractions.js';
import { elementwise } from './elementwise.js';
import { layout } from './layout.js';
import { opaque } from './opaque.js';
import { pads } from './pad.js';
import { reshapes } from './reshape.js';

const rules: RuleFamily = { ...elementwise, ...channelwise, ...contractions, ...layout, ...pads, ...reshapes };

/** The operators that compaction looks into. */
export const knownOperators: readonly string[] = Object.keys(rules);

export function chooseRule(node: NodeFacts): Rule {
  const found = isStandard(node.proto) && node.captured.length === 0 ? rules[node.proto.opType] : undefined;
  const values = [...node.inputs, ...node.outputs].filter((value) => value !== undefined);
  // Without shapes no rule can say which axis is which.
  if (found === undefined || node.outputs[0] === undefined || values.some(({ shape }) => shape === undefined))
    return opaque;
  return (typeof found === 'function' ? found(node) : found) ?? opaque;
}
