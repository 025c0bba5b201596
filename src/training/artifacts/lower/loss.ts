// Softmax cross entropy and its gradient, classes on axis 1. The variants called Internal take ignore_index as an input.
import { stringAttribute } from '../../../autodiff/rule.js';
import type { Value } from '../../../onnx/build/graph-builder.js';
import type { TensorProto } from '../../../onnx/schema/onnx_pb.js';
import { exact, type Lowered, type LoweringContext, type LoweringFamily, like, unsupported } from './lowering.js';

interface Labels {
  /** int64, with 0 in the place of ignored ones. */
  readonly classes: Value;
  /** bool; null where nothing is ignored. */
  readonly ignored: Value | null;
}

function labelsOf(c: LoweringContext, label: Value, ignoreIndex: Value | null): Labels {
  const classes = c.emit('Cast', [label], { to: 7 });
  if (ignoreIndex === null) return { classes, ignored: null };
  const ignored = c.emit('Equal', [classes, ignoreIndex]);
  return { classes: c.emit('Where', [ignored, c.graph.int64(0), classes]), ignored };
}

/** The weight of each sample: its class's, and 0 where it is ignored. Null where all weigh 1. */
function sampleWeights(c: LoweringContext, { classes, ignored }: Labels, weight: Value): Value | null {
  const given = weight === '' ? null : c.emit('Gather', [weight, classes]);
  if (ignored === null) return given;
  return c.emit('Where', [ignored, c.graph.float32(0), given ?? c.graph.float32(1)]);
}

// dlogits = (softmax - onehot) w dY, with w the samples' weights, over their sum where the loss is a mean
function gradient(c: LoweringContext, ignoreIndex: Value | null): Value {
  const [dY, logProbabilities, label, weight] = [c.input(0), c.input(1), c.input(2), c.input(3)];
  const reduction = stringAttribute(c.node, 'reduction', 'mean');
  const labels = labelsOf(c, label, ignoreIndex);
  const depth = c.graph.int64([c.facts(logProbabilities).shape[1] ?? 0]);
  const oneHot = c.emit('OneHot', [labels.classes, depth, c.graph.float32([0, 1])], { axis: 1 });
  const slope = c.emit('Sub', [c.emit('Exp', [logProbabilities]), oneHot]);
  const weights = sampleWeights(c, labels, weight);
  const perSample = weights === null ? dY : c.emit('Mul', [weights, dY]);
  const scaled = reduction === 'mean' ? c.emit('Div', [perSample, total(c, labels, weights)]) : perSample;
  const isScalar = weights === null && reduction !== 'none';
  return c.emit('Mul', [slope, isScalar ? scaled : c.emit('Unsqueeze', [scaled, c.graph.int64([1])])]);
}

/** The sum of the weights; 1 where it is 0, so that a batch of ignored samples has a gradient of 0. */
function total(c: LoweringContext, { classes }: Labels, weights: Value | null): Value {
  if (weights === null) return c.emit('Cast', [c.emit('Size', [classes])], { to: 1 });
  const sum = c.emit('ReduceSum', [weights], { keepdims: 0 });
  return c.emit('Where', [c.emit('Equal', [sum, c.graph.float32(0)]), c.graph.float32(1), sum]);
}

function attributeIndex(c: LoweringContext): Value | null {
  const found = c.node.attribute.find(({ name }) => name === 'ignore_index');
  return found === undefined ? null : c.graph.int64(Number(found.i));
}

function inputIndex(c: LoweringContext): Value | null {
  return c.input(4) === '' ? null : c.input(4);
}

/** Added to the gradient: what else flows back to the logits. */
function plusBias(c: LoweringContext, value: Value): Value {
  return c.input(5) === '' ? value : c.emit('Add', [value, c.emit('Reshape', [c.input(5), c.emit('Shape', [value])])]);
}

/** The forward operator of ai.onnx has ignore_index as an attribute, so it must be known. */
function internalLoss(c: LoweringContext): Lowered {
  const [logits, labels, weight, index] = [c.input(0), c.input(1), c.input(2), c.input(3)];
  const value = index === '' ? undefined : integerOf(c.constant(index));
  if (index !== '' && value === undefined) throw unsupported(c, 'its ignore_index is computed while it runs');
  const reduction = stringAttribute(c.node, 'reduction', 'mean');
  const inputs = [logits, labels, ...(weight === '' ? [] : [weight])];
  return c.emitAll('SoftmaxCrossEntropyLoss', inputs, 2, { reduction, ignore_index: value });
}

function integerOf(tensor: TensorProto | undefined): number | undefined {
  if (tensor === undefined) return undefined;
  const { rawData, int64Data } = tensor;
  if (int64Data[0] !== undefined) return Number(int64Data[0]);
  if (rawData.byteLength !== 8) return undefined;
  return Number(new DataView(rawData.buffer, rawData.byteOffset).getBigInt64(0, true));
}

export const loss: LoweringFamily = {
  SoftmaxCrossEntropyLossGrad: { standIn: like(1), lower: (c) => [gradient(c, attributeIndex(c))] },
  SoftmaxCrossEntropyLossInternal: exact(internalLoss),
  SoftmaxCrossEntropyLossInternalGrad: {
    standIn: like(1),
    lower: (c) => [plusBias(c, gradient(c, inputIndex(c)))],
  },
};
