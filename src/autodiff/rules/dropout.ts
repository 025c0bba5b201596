// Dropout: the mask of the forward pass decides.
import { arithmetic } from '../arithmetic.js';
import { floatType, input, type Rule, type RuleFamily, secondOutput } from '../rule.js';

// What was kept was divided by 1 - ratio. Without a training_mode, and before opset 12, nothing is dropped.
const dropout: Rule = (c) => {
  const [, ratio, training] = c.inputs;
  if (!training) return [c.dY];
  const { div, mul, sub, where } = arithmetic(c);
  const mask = c.emit('Cast', [secondOutput(c, 'mask')], { to: floatType(c, input(c, 0)) });
  const scaled = mul(mask, div(1, sub(1, ratio || 0.5)));
  return [mul(c.dY, where(training, scaled, 1))];
};

export const dropouts: RuleFamily = { Dropout: dropout };
