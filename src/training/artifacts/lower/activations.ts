// Gradients of activations and of softmax. Several take the forward output where the rule wants the input: the rules used
// here look at its sign or its type only.
import { intAttribute } from '../../../autodiff/rule.js';
import {
  byRule,
  exact,
  type Lowering,
  type LoweringContext,
  type LoweringFamily,
  like,
  unsupported,
} from './lowering.js';

/** (dY, X or Y) -> dX; the one forward value serves as both input and output. */
const unary = (opType: string, domain = ''): Lowering => ({
  standIn: like(0),
  lower: (c) => byRule(c, { opType, domain, inputs: [c.input(1)], output: c.input(1), dY: c.input(0) }),
});

/** (dY, X, B) -> dX, which serves for the bias too: later nodes sum it. */
const biased = (opType: string): Lowering => ({
  standIn: like(0),
  lower: (c) =>
    byRule(c, {
      opType,
      domain: 'com.microsoft',
      inputs: [c.input(1), c.input(2)],
      output: c.input(0),
      dY: c.input(0),
      wanted: [0],
    }),
});

/** The operator before opset 13 flattened from the axis on, which is the same on the last axis only. */
const flattening = (opType: string): Lowering => ({
  standIn: like(0),
  lower: (c) => {
    const rank = c.facts(c.input(1)).shape.length;
    if ((intAttribute(c.node, 'axis', 1) + rank) % rank !== rank - 1)
      throw unsupported(c, 'it is not over the last axis');
    return byRule(c, { opType, inputs: [c.input(1)], output: c.input(1), dY: c.input(0) });
  },
});

// dX = mask dY / (1 - ratio) in training, else dY. Ratio is 0.5 and training_mode false where they are left out, but
// the gradient is only built of a Dropout that trains.
function dropout(c: LoweringContext) {
  const [dY, mask, ratio, mode] = [c.input(0), c.input(1), c.input(2), c.input(3)];
  const kept = c.emit('Where', [mask, dY, c.graph.float32(0)]);
  const rate = ratio === '' ? c.graph.float32(0.5) : ratio;
  const scaled = c.emit('Div', [kept, c.emit('Sub', [c.graph.float32(1), c.emit('Cast', [rate], { to: 1 })])]);
  return [mode === '' ? scaled : c.emit('Where', [mode, scaled, dY])];
}

export const activations: LoweringFamily = {
  ReluGrad: unary('Relu'),
  SigmoidGrad: unary('Sigmoid'),
  TanhGrad: unary('Tanh'),
  LeakyReluGrad: unary('LeakyRelu'),
  GeluGrad: unary('Gelu', 'com.microsoft'),
  FastGeluGrad: unary('FastGelu', 'com.microsoft'),
  QuickGeluGrad: unary('QuickGelu', 'com.microsoft'),
  BiasGeluGrad_dX: biased('BiasGelu'),
  BiasFastGeluGrad_dX: biased('FastGelu'),
  SoftmaxGrad_13: unary('Softmax'),
  LogSoftmaxGrad_13: unary('LogSoftmax'),
  SoftmaxGrad: flattening('Softmax'),
  LogSoftmaxGrad: flattening('LogSoftmax'),
  DropoutGrad: exact(dropout),
};
