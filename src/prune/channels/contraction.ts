// Conv, ConvTranspose, Gemm and MatMul: where channels end and new ones begin.
import { intAttribute } from '../../onnx/attributes.js';
import { type Label, labelOf } from './labels.js';
import { type ChannelFamily, type ChannelRule, dimsOf, isVectorOf, type RuleContext } from './rule.js';

const convolution: ChannelRule = (context) => {
  const weight = context.weight(1);
  const input = context.label(0);
  const groups = intAttribute(context.node, 'group', 1);
  if (input !== undefined && !onChannelAxis(input)) return undefined;
  // A constant whose rows are not known still only sums over the channels that it reads.
  if (weight === undefined) return context.isConstant(1) && groups === 1 ? [] : undefined;
  if (groups > 1) coupleGroups(context, weight, groups);
  context.follow(2, weight);
  const rank = dimsOf(context.definition(1))?.length ?? input?.rank;
  return rank === undefined ? undefined : [labelOf(weight, 1 - rank, rank)];
};

function onChannelAxis({ axis, rank, spread }: Label): boolean {
  return rank !== undefined && axis + rank === 1 && !spread;
}

/**
 * Of several groups each has to keep as many channels as the others: the n-th channels of all groups go together. In a
 * depthwise convolution an input channel goes with the outputs that are made of it alone.
 */
function coupleGroups({ sets, label }: RuleContext, outputs: Int32Array, groups: number): void {
  const inputs = label(0)?.channels;
  const depthwise = inputs !== undefined && inputs.length === groups;
  const part = outputs.length / groups;
  for (const [index, output] of outputs.entries()) {
    if (depthwise) sets.join(output, inputs[Math.floor(index / part)] ?? output);
    else sets.join(output, outputs[index % part] ?? output);
  }
  if (inputs === undefined || depthwise) return;
  for (const [index, input] of inputs.entries()) sets.join(input, inputs[index % (inputs.length / groups)] ?? input);
}

/** y = A B: the columns of A and the rows of B are summed over. */
const product: ChannelRule = (context) => {
  const { node, label, isConstant } = context;
  const gemm = node.opType === 'Gemm';
  const weightInput = isConstant(1) ? 1 : 0;
  const weight = context.weight(weightInput);
  const x = label(1 - weightInput);
  if (!isConstant(weightInput)) return undefined;
  const flipped = gemm && intAttribute(node, weightInput === 1 ? 'transA' : 'transB', 0) === 1;
  const summed = (weightInput === 1) === flipped ? -2 : -1;
  if (x !== undefined && x.axis !== summed) return undefined;
  if (weight === undefined) return [];
  const outputAxis = weightInput === 1 ? -1 : -2;
  const output = labelOf(weight, outputAxis, gemm ? 2 : x?.rank);
  if (gemm) followColumns(context, output);
  return [output];
};

/** The third input of Gemm, where it has one element for each output channel. */
function followColumns(context: RuleContext, label: Label): void {
  if (isVectorOf(label, context.definition(2))) context.follow(2, label.channels);
}

export const contraction: ChannelFamily = {
  Conv: convolution,
  ConvTranspose: convolution,
  Gemm: product,
  MatMul: product,
};
