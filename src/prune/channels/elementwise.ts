// Operators that treat each channel by itself, and those that meet channel by channel.
import { type Label, sameLayout } from './labels.js';
import { type ChannelFamily, type ChannelRule, isVectorOf, type RuleContext } from './rule.js';

/** One input, each channel by itself. Other inputs are constants such as bounds. */
const passing: ChannelRule = ({ node, label, isConstant }) =>
  node.input.every((_, index) => index === 0 || isConstant(index)) ? [label(0)] : undefined;

/** Statistics and scale a channel: what belongs to a removed channel is its scale and its offset. */
const normalization: ChannelRule = (context) => {
  const label = context.label(0);
  const own = label !== undefined && label.axis + (label.rank ?? 0) === 1 && !label.spread;
  if (!own) return undefined;
  for (const input of [1, 2]) context.follow(input, label.channels);
  return [label];
};

/** Channels that meet go together. Constants meet all. */
const meeting: ChannelRule = (context) => {
  const labels: Label[] = [];
  for (const input of context.node.input.keys()) {
    const label = context.label(input);
    if (label !== undefined) labels.push(label);
    else if (!context.isConstant(input)) return undefined;
  }
  // One channel that is broadcast over many, such as a map of attention, is no channel of theirs.
  const most = Math.max(...labels.map(({ channels }) => channels.length));
  const wide = labels.filter(({ channels }) => channels.length === most);
  const [first, ...others] = wide;
  if (first === undefined || !labels.every((label) => label.channels.length === most || label.channels.length === 1)) {
    return undefined;
  }
  for (const other of others) {
    if (!sameLayout(first, other)) return undefined;
    context.sets.joinAll(first.channels, other.channels);
  }
  followOffsets(context, first);
  const rank = Math.max(...wide.map((label) => label.rank ?? Number.NaN));
  const pointwise = wide.every((label) => label.pointwise) && labels.length === wide.length;
  return [{ ...first, rank: Number.isNaN(rank) ? undefined : rank, pointwise }];
};

/** A removed channel is 0 from here on: it may be divided, but divides nothing. */
const division: ChannelRule = (context) => (context.label(1) === undefined ? meeting(context) : undefined);

/** A constant vector that is added is a bias. */
function followOffsets(context: RuleContext, label: Label): void {
  if (!['Add', 'Sub', 'Sum'].includes(context.node.opType) || label.spread) return;
  for (const input of context.node.input.keys()) {
    if (isVectorOf(label, context.definition(input))) context.follow(input, label.channels);
  }
}

const family = (rule: ChannelRule, names: string): ChannelFamily =>
  Object.fromEntries(names.split(' ').map((name) => [name, rule]));

/** Without Log, Reciprocal and Pow, which make infinities of a removed channel. */
export const elementwise: ChannelFamily = {
  ...family(
    passing,
    'Identity Cast Dropout Relu LeakyRelu Elu Selu Celu ThresholdedRelu Sigmoid HardSigmoid HardSwish Tanh Softplus ' +
      'Softsign Erf Gelu Mish Swish Exp Sqrt Abs Neg Sign Floor Ceil Round Sin Cos Clip ' +
      'QuantizeLinear DequantizeLinear ' +
      'MaxPool AveragePool LpPool Resize Upsample',
  ),
  ...family(normalization, 'BatchNormalization InstanceNormalization'),
  ...family(meeting, 'Add Sub Mul Min Max Sum Mean PRelu'),
  Div: division,
  ...family(
    (context) => passing(context)?.map((label) => label && { ...label, pointwise: true }),
    'GlobalAveragePool GlobalMaxPool GlobalLpPool',
  ),
};
