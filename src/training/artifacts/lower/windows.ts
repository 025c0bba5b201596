// Gradients of convolution and pooling, by the rules of the forward operators.

import type { Value } from '../../../onnx/build/graph-builder.js';
import type { NodeProto } from '../../../onnx/schema/onnx_pb.js';
import {
  byRule,
  type Lowered,
  type Lowering,
  type LoweringContext,
  type LoweringFamily,
  unsupported,
} from './lowering.js';

/** (dY, X, W) -> (dX, dW, dB). The bias itself is not at hand, nor needed. */
const convolution = (opType: string): Lowering => ({
  standIn: (c) => {
    const flat = c.emit('Reshape', [c.input(0), c.graph.int64([0, 0, -1])]);
    const bias = c.emit('ReduceSum', [flat, c.graph.int64([0, 2])], { keepdims: 0 });
    return [c.input(1), c.input(2), bias];
  },
  lower: (c) => byRule(c, { opType, inputs: [c.input(1), c.input(2), ''], outputs: [c.input(0)], dY: c.input(0) }),
});

/** The forward node of `<name>_Grad/<operator>_<number>`, the name that the official gradient builder gives. */
function forwardByName(c: LoweringContext): NodeProto | undefined {
  const end = c.node.name.lastIndexOf('_Grad/');
  return end < 0 ? undefined : c.named(c.node.name.slice(0, end));
}

function pooling(find: (c: LoweringContext) => NodeProto | undefined): Lowering {
  const forwardOf = (c: LoweringContext): { node: NodeProto; x: Value } => {
    const node = find(c);
    const x = node?.input[0];
    if (node === undefined || x === undefined)
      throw unsupported(c, 'the node that it is the gradient of is not in the graph');
    return { node, x };
  };
  const lower = (c: LoweringContext): Lowered => {
    const { node, x } = forwardOf(c);
    return byRule(c, { opType: node.opType, node, inputs: [x], outputs: node.output, dY: c.input(0) });
  };
  return { standIn: (c) => [forwardOf(c).x], lower };
}

export const windows: LoweringFamily = {
  ConvGrad: convolution('Conv'),
  ConvTransposeGrad: convolution('ConvTranspose'),
  MaxPoolGrad: pooling((c) => c.producer(c.input(1))),
  AveragePoolGrad: pooling(forwardByName),
};
