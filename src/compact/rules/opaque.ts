// Operators that are not looked into: all that they read is needed if anything that they make is, and what they make
// goes as a whole or not at all.
import type { NodeFacts, Rule } from '../rule.js';
import type { Value } from '../value.js';

/** All values that a node reads. */
export function inputsOf(node: NodeFacts): Value[] {
  return [...node.inputs, ...node.captured].filter((value) => value !== undefined);
}

export const opaque: Rule = {
  couple(node, network) {
    for (const output of node.outputs) {
      for (const axis of output?.atoms.keys() ?? []) if (output !== undefined) network.joinWhole(output, axis);
    }
  },
  demand(node, marks) {
    const reason = `read by ${node.proto.opType} ${node.label}, which needs all channels`;
    for (const input of inputsOf(node)) {
      marks.need(input);
      marks.markAll(input, reason);
    }
    for (const output of node.outputs) if (output !== undefined) marks.markAll(output, reason);
  },
};
