// Gradients of activations and of softmax. Several take the forward output where the rule wants the input: the rules used
// here look at its sign or its type only.
import { create } from '@bufbuild/protobuf';
import { contrib } from '../../../autodiff/opsets.js';
import { intAttribute } from '../../../autodiff/rule.js';
import { NodeProtoSchema } from '../../../onnx/schema/onnx_pb.js';
import { byRule, type Lowering, type LoweringFamily, like, unsupported } from './lowering.js';

/** (dY, X or Y) -> dX; the one forward value serves as both input and output. */
const unary = (opType: string, domain = ''): Lowering => ({
  standIn: like(0),
  lower: (c) => byRule(c, { opType, domain, inputs: [c.input(1)], outputs: [c.input(1)], dY: c.input(0) }),
});

/** (dY, X, B) -> dX, which serves for the bias too: later nodes sum it. */
const biased = (opType: string): Lowering => ({
  standIn: like(0),
  lower: (c) =>
    byRule(c, {
      opType,
      domain: contrib,
      inputs: [c.input(1), c.input(2)],
      outputs: [c.input(0)],
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
    return byRule(c, { opType, inputs: [c.input(1)], outputs: [c.input(1)], dY: c.input(0) });
  },
});

/** (dY, mask, ratio, training_mode) -> dX */
const dropout: Lowering = {
  standIn: like(0),
  lower: (c) => {
    const node = create(NodeProtoSchema, { opType: 'Dropout', output: ['', c.input(1)] });
    const inputs = [c.input(0), c.input(2), c.input(3)];
    return byRule(c, {
      opType: 'Dropout',
      node,
      inputs,
      outputs: [c.input(0), c.input(1)],
      dY: c.input(0),
      wanted: [0],
    });
  },
};

export const activations: LoweringFamily = {
  ReluGrad: unary('Relu'),
  SigmoidGrad: unary('Sigmoid'),
  TanhGrad: unary('Tanh'),
  LeakyReluGrad: unary('LeakyRelu'),
  GeluGrad: unary('Gelu', contrib),
  FastGeluGrad: unary('FastGelu', contrib),
  QuickGeluGrad: unary('QuickGelu', contrib),
  BiasGeluGrad_dX: biased('BiasGelu'),
  BiasFastGeluGrad_dX: biased('FastGelu'),
  SoftmaxGrad_13: unary('Softmax'),
  LogSoftmaxGrad_13: unary('LogSoftmax'),
  SoftmaxGrad: flattening('Softmax'),
  LogSoftmaxGrad: flattening('LogSoftmax'),
  DropoutGrad: dropout,
};
