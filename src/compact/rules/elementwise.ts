// Elementwise operators: a channel of the result goes with the same channel of every operand. An operand that is
// constant altogether is replaced by its numbers, so that what makes it can go.
import { isFloat } from '../../onnx/elements.js';
import { sameShape } from '../../onnx/infer/shape.js';
import { type Couplings, inputOf, type NodeFacts, outputOf, type Rule, type RuleFamily } from '../rule.js';
import { constantAxis, constantsOf, lengthOf, rounded, type Value, wholeOf } from '../value.js';
import { joinBroadcast } from './broadcast.js';
import { castsToFloat, combined, combinedUnfollowed, type NumberFunction, unary, unfollowed } from './functions.js';

/** What is known of an operand along an axis of the result: numbers by index, or one number for all. */
type Along = (index: number) => number;

const unknown: Along = () => Number.NaN;

function along(operand: Value, axis: number, rank: number): Along {
  const own = axis - rank + (operand.shape?.length ?? 0);
  const constants = own >= 0 && operand.shape?.[own] !== 1 ? constantsOf(operand, own) : undefined;
  if (constants !== undefined) return (index) => constants[index] ?? Number.NaN;
  const whole = own < 0 || operand.shape?.[own] === 1 ? wholeOf(operand) : Number.NaN;
  return Number.isNaN(whole) ? unknown : () => whole;
}

/** Numbers along each axis of the result on which an operand has some. */
function combine(node: NodeFacts, operands: readonly Value[], apply: (numbers: number[]) => number): void {
  const out = outputOf(node);
  const rank = out.shape?.length ?? 0;
  if (!isFloat(out.type)) return;
  for (let axis = 0; axis < rank; axis++) {
    const length = lengthOf(out, axis);
    const known = operands.map((operand) => along(operand, axis, rank));
    if (known.every((at) => at === unknown)) continue;
    const numbers = Float64Array.from({ length }, (_, index) => {
      return rounded(apply(known.map((at) => at(index))), out.type);
    });
    if (numbers.some((number) => !Number.isNaN(number))) out.constants[axis] = numbers;
  }
}

function coupleOperands(node: NodeFacts, net: Couplings): void {
  const out = outputOf(node);
  for (const operand of node.inputs) if (operand !== undefined) joinBroadcast(net, operand, out);
  for (const other of node.outputs.slice(1)) if (other !== undefined) joinBroadcast(net, other, out);
}

/** Operands that are constant along an axis become that constant, where the others give the result its shape. */
function replaceConstants(node: NodeFacts, net: Couplings): void {
  const out = outputOf(node);
  const rank = out.shape?.length ?? 0;
  for (const [index, operand] of node.inputs.entries()) {
    if (operand === undefined || operand.constant) continue;
    const axis = constantAxis(operand);
    const numbers = operand.constants[axis];
    const shaped = node.inputs.some((other, at) => at !== index && sameShape(other?.shape, out.shape));
    if (numbers === undefined || !shaped || !isFloat(operand.type)) continue;
    node.inputs[index] = net.literal(operand.shape?.length ?? rank, axis, numbers, operand.type);
  }
}

function unaryRule(apply: NumberFunction): Rule {
  return {
    constants(node) {
      const [x, ...bounds] = node.inputs;
      if (x === undefined) return;
      const others = bounds.map((bound) => (bound === undefined ? undefined : wholeOf(bound)));
      combine(node, [x], ([value = Number.NaN]) => apply(value, node.proto, others as number[]));
    },
    couple(node, net) {
      for (const output of node.outputs) if (output !== undefined) joinBroadcast(net, inputOf(node, 0), output);
    },
  };
}

function combinedRule(apply: (operands: readonly number[]) => number): Rule {
  return {
    constants: (node) =>
      combine(
        node,
        node.inputs.filter((value) => value !== undefined),
        apply,
      ),
    couple(node, net) {
      replaceConstants(node, net);
      coupleOperands(node, net);
    },
  };
}

const coupled: Rule = { couple: coupleOperands };

/** A mask is drawn at random in training mode. */
function dropout(node: NodeFacts): Rule {
  const mode = node.inputs[2];
  const training = mode !== undefined && wholeOf(mode) !== 0;
  return training
    ? { couple: (facts, net) => joinBroadcast(net, inputOf(facts, 0), outputOf(facts)) }
    : unaryRule((x) => x);
}

const cast = (node: NodeFacts): Rule => unaryRule(castsToFloat(node.proto) ? (x) => x : () => Number.NaN);

export const elementwise: RuleFamily = {
  ...Object.fromEntries(Object.entries(unary).map(([op, apply]) => [op, unaryRule(apply)])),
  ...Object.fromEntries(Object.entries(combined).map(([op, apply]) => [op, combinedRule(apply)])),
  ...Object.fromEntries([...unfollowed, ...combinedUnfollowed].map((op) => [op, coupled])),
  Cast: cast,
  Dropout: dropout,
};
