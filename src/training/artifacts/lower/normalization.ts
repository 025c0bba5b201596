// Normalization with the statistics that the forward operator has kept, so that nothing is computed twice.
import { create } from '@bufbuild/protobuf';
import { floatAttribute, intAttribute } from '../../../autodiff/rule.js';
import { attribute, float } from '../../../onnx/build/attributes.js';
import type { Value } from '../../../onnx/build/graph-builder.js';
import { NodeProtoSchema } from '../../../onnx/schema/onnx_pb.js';
import {
  byRule,
  exact,
  type Lowered,
  type LoweringContext,
  type LoweringFamily,
  labelOf,
  like,
  unsupported,
} from './lowering.js';

/** The value of the batch's variance, which BatchNormInternal does not hand out, beside one that it does. */
const varianceBeside = (inverse: Value): Value => `${inverse}/variance`;

// Momentum 0 makes the operator's running statistics those of the batch, exactly, from which the others follow. The
// runtime writes the new statistics over the old ones, so it gets scratch tensors (see autodiff/training-mode.ts).
function batchNormInternal(c: LoweringContext): Lowered {
  const { graph, node } = c;
  const epsilon = floatAttribute(node, 'epsilon', 1e-5);
  const momentum = floatAttribute(node, 'momentum', 0.9);
  const [y = '', , , mean = '', inverse = ''] = node.output.map(
    (name) => name || graph.fresh(`${labelOf(node)}/output`),
  );
  const variance = varianceBeside(inverse);
  const scratch = [3, 4].map((index) => c.emit('RandomUniformLike', [c.input(index)]));
  const inputs = [0, 1, 2].map((index) => c.input(index));
  const attributes = { epsilon: float(epsilon), momentum: float(0), training_mode: 1 };
  const [out = '', batchMean = ''] = graph.ops('BatchNormalization', [...inputs, ...scratch], 3, attributes, {
    name: labelOf(node),
    outputs: [`${y}/value`, `${mean}/value`, variance],
  });
  const running = (old: number, now: Value) => {
    const parts = [
      c.emit('Mul', [c.input(old), graph.float32(momentum)]),
      c.emit('Mul', [now, graph.float32(1 - momentum)]),
    ];
    return node.output[old - 2] ? c.emit('Add', parts) : null;
  };
  const deviation = c.emit('Sqrt', [c.emit('Add', [variance, graph.float32(epsilon)])]);
  return [out, running(3, batchMean), running(4, variance), batchMean, c.emit('Reciprocal', [deviation])];
}

/** (dY, X, scale, saved_mean, saved_inv_std) -> (dX, dscale, dB) */
function batchNormalization(c: LoweringContext): Lowered {
  const [dY, x, scale, mean, inverse] = [0, 1, 2, 3, 4].map((index) => c.input(index)) as [
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  if (c.producer(inverse)?.opType !== 'BatchNormInternal')
    throw unsupported(c, 'its statistics are not of BatchNormInternal');
  const epsilon = float(floatAttribute(c.node, 'epsilon', 1e-5));
  const settings = { epsilon, momentum: float(0), training_mode: 1 };
  const node = create(NodeProtoSchema, {
    opType: 'BatchNormalization',
    attribute: Object.entries(settings).map(([name, value]) => attribute(name, value)),
  });
  const outputs = [dY, mean, varianceBeside(inverse)];
  return byRule(c, { opType: node.opType, node, inputs: [x, scale, ''], outputs, dY });
}

// With x^ = (x - mean) / deviation and g = scale dY: dscale = sum(dY x^), dbias = sum dY, and over the axes from `axis` on
// dX = (g - mean of g - x^ mean of (g x^)) / deviation. `mean` is null for the root-mean-square form, which lacks it.
function layerNormalization(c: LoweringContext, mean: Value | null, inverse: Value): Lowered {
  const [dY, x, scale] = [c.input(0), c.input(1), c.input(2)];
  const rank = c.facts(x).shape.length;
  const first = (intAttribute(c.node, 'axis', -1) + rank) % rank;
  const inner = c.graph.int64(Array.from({ length: rank - first }, (_, axis) => first + axis));
  const outer = Array.from({ length: first }, (_, axis) => axis);
  const average = (value: Value) => {
    const total = c.emit('ReduceSum', [value, inner], { keepdims: 1 });
    const ratio = [total, value].map((each) => c.emit('Cast', [c.emit('Size', [each])], { to: 1 }));
    return c.emit('Mul', [total, c.emit('Div', ratio)]);
  };
  const sum = (value: Value) =>
    first === 0 ? value : c.emit('ReduceSum', [value, c.graph.int64(outer)], { keepdims: 0 });
  const normal = c.emit('Mul', [mean === null ? x : c.emit('Sub', [x, mean]), inverse]);
  const inside = c.emit('Mul', [dY, scale]);
  const along = c.emit('Mul', [normal, average(c.emit('Mul', [inside, normal]))]);
  const centred = mean === null ? inside : c.emit('Sub', [inside, average(inside)]);
  const dX = c.emit('Mul', [c.emit('Sub', [centred, along]), inverse]);
  return [dX, sum(c.emit('Mul', [dY, normal])), sum(dY)];
}

export const normalization: LoweringFamily = {
  BatchNormInternal: exact(batchNormInternal),
  BatchNormalizationGrad: { standIn: like(1, 2, 2), lower: batchNormalization },
  LayerNormalizationGrad: {
    standIn: like(1, 2, 2),
    lower: (c) => layerNormalization(c, c.input(3), c.input(4)),
  },
  SimplifiedLayerNormalizationGrad: {
    standIn: like(1, 2),
    lower: (c) => layerNormalization(c, null, c.input(3)),
  },
};
