// Losses as ONNX subgraphs over an output of the model. Their gradients come from the rules of the operators they are
// made of. Targets are new graph inputs.
import { SecateurError } from '../errors.js';
import { GraphBuilder, type Value } from '../onnx/build/graph-builder.js';
import type { Dimension } from '../onnx/build/tensors.js';
import { opsetOf } from '../onnx/opset.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { type CrossEntropy, crossEntropy, type Summation } from './cross-entropy.js';
import { claim, type GraphLoss, type MergedLoss, mergeLoss } from './graph-loss.js';

export type { CrossEntropy, GraphLoss, MergedLoss };

/** Means over all elements of targets float32 in the output's shape: squares, magnitudes, or cross entropy of bits. */
export interface ElementLoss {
  readonly type: 'mse' | 'l1' | 'bceWithLogits';
}

export interface LossOptions {
  /** The model's value to compare; float32. */
  readonly output: Value;
  readonly loss: CrossEntropy | ElementLoss | GraphLoss;
  /** Name of the new input; a graph has its own names. @default 'target' */
  readonly target?: string;
}

/**
 * Adds a loss and its input of targets to the model, in place, and declares the loss, float32 [], as an output.
 *
 * @returns the loss's name, `loss` where that is free, and the values that the gradients stop at.
 * @throws SecateurError INVALID_OPTION where the output does not exist or an option is out of range; UNSUPPORTED where
 *   a graph cannot be merged.
 */
export function appendLoss(model: ModelProto, options: LossOptions): MergedLoss {
  const { graph } = model;
  if (graph === undefined) throw new SecateurError('INVALID_MODEL', 'Expected a model with a graph, got none');
  if (!graph.node.some((node) => node.output.includes(options.output))) {
    throw new SecateurError(
      'INVALID_OPTION',
      `Expected a computed value of the model for the loss, got ${options.output}`,
    );
  }
  const builder = GraphBuilder.extend(graph);
  const { loss: given } = options;
  const { loss, constants } =
    given.type === 'graph'
      ? mergeLoss(builder, model, given)
      : { loss: scalarLoss(builder, model, { ...options, loss: given }), constants: [] };
  const name = builder.op('Identity', [loss], {}, { name: 'loss' });
  builder.output(name, 'float32', []);
  return { loss: name, constants };
}

type OwnLoss = LossOptions & { readonly loss: CrossEntropy | ElementLoss };

function scalarLoss(builder: GraphBuilder, model: ModelProto, { output, loss, target = 'target' }: OwnLoss): Value {
  const scope = builder.scope('loss');
  const shape = declaredShape(model, output);
  claim(GraphBuilder.extend(builder.graph), target);
  if (loss.type === 'crossEntropy') {
    const [samples = 'N', declared, ...space] = shape ?? [];
    const classes = loss.classes ?? declared;
    if (typeof classes !== 'number') {
      throw new SecateurError('INVALID_OPTION', `Expected the number of classes of ${output}, which declares none`);
    }
    const labels = builder.input(target, 'int64', [samples, ...space]);
    const rank = Math.max(2, shape?.length ?? 2);
    return crossEntropy(scope, { logits: output, labels, rank, classes }, loss, summation(scope, opsetOf(model)));
  }
  if (shape === undefined) {
    throw new SecateurError('INVALID_OPTION', `Expected ${output} to be an output of the model with a declared shape`);
  }
  const targets = builder.input(target, 'float32', shape);
  return scope.op('ReduceMean', [elements(scope, loss.type, output, targets)], { keepdims: 0 });
}

function summation(g: GraphBuilder, opset: number): Summation {
  return (value, axes) => {
    const keepdims = axes === undefined ? 0 : 1;
    if (axes === undefined || opset < 13) return g.op('ReduceSum', [value], { axes, keepdims });
    return g.op('ReduceSum', [value, g.int64(axes)], { keepdims });
  };
}

/** The shape that the model says its output has; sizes without a name get one. */
function declaredShape({ graph }: ModelProto, output: Value): Dimension[] | undefined {
  const declared = [...(graph?.output ?? []), ...(graph?.valueInfo ?? [])].find(({ name }) => name === output);
  const dims = declared?.type?.value.case === 'tensorType' ? declared.type.value.value.shape?.dim : undefined;
  return dims?.map(({ value }, axis) => {
    if (value.case === 'dimValue') return Number(value.value);
    return value.value ? value.value : `${output}.${axis}`;
  });
}

function elements(g: GraphBuilder, type: ElementLoss['type'], output: Value, target: Value): Value {
  if (type === 'bceWithLogits') {
    // max(z, 0) - z t + log(1 + e^-|z|), which never overflows; (z + |z|) / 2 has the right slope 1/2 at 0.
    const size = g.op('Abs', [output]);
    const positive = g.op('Mul', [g.op('Add', [output, size]), g.float32(0.5)]);
    const tail = g.op('Log', [g.op('Add', [g.op('Exp', [g.op('Neg', [size])]), g.float32(1)])]);
    return g.op('Add', [g.op('Sub', [positive, g.op('Mul', [output, target])]), tail]);
  }
  const difference = g.op('Sub', [output, target]);
  return type === 'mse' ? g.op('Mul', [difference, difference]) : g.op('Abs', [difference]);
}
