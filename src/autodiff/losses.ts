// Losses as ONNX subgraphs over an output of the model. Their gradients come from the rules of the operators they are
// made of. Targets are a new graph input.
import { SecateurError } from '../errors.js';
import { GraphBuilder, type Value } from '../onnx/build/graph-builder.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { opsetOf } from './opsets.js';

/** Mean cross entropy of logits [N, C] and labels int64 [N]. */
export interface CrossEntropy {
  readonly type: 'crossEntropy';
  /** Number of classes, C. */
  readonly classes: number;
  /** Samples with this label count nothing. @default -100 */
  readonly ignoreIndex?: number;
  /** C factors, one a class; the mean is weighted by them. */
  readonly classWeights?: readonly number[];
  /** Part of the target spread evenly over the classes, [0, 1). @default 0 */
  readonly labelSmoothing?: number;
}

/** Means over all elements of targets float32 in the output's shape: squares, magnitudes, or cross entropy of bits. */
export interface ElementLoss {
  readonly type: 'mse' | 'l1' | 'bceWithLogits';
}

export interface LossOptions {
  /** The model's value to compare; float32. */
  readonly output: Value;
  readonly loss: CrossEntropy | ElementLoss;
  /** Name of the new input. @default 'target' */
  readonly target?: string;
}

/**
 * Adds a loss and its input of targets to the model, in place, and declares the loss, float32 [], as an output.
 *
 * @returns the loss's name, `loss` where that is free.
 * @throws SecateurError INVALID_OPTION where the output does not exist or an option is out of range.
 */
export function appendLoss(model: ModelProto, { output, loss, target = 'target' }: LossOptions): Value {
  const { graph } = model;
  if (graph === undefined) throw new SecateurError('INVALID_MODEL', 'Expected a model with a graph, got none');
  if (!graph.node.some((node) => node.output.includes(output))) {
    throw new SecateurError('INVALID_OPTION', `Expected a computed value of the model for the loss, got ${output}`);
  }
  if (graph.input.some(({ name }) => name === target)) {
    throw new SecateurError('INVALID_OPTION', `Expected an unused name for the targets, got ${target}`);
  }
  const opset = opsetOf(model);
  const builder = GraphBuilder.extend(graph);
  const scope = builder.scope('loss');
  const sum = (value: Value, axes?: readonly number[]) => {
    const keepdims = axes === undefined ? 0 : 1;
    if (axes === undefined || opset < 13) return scope.op('ReduceSum', [value], { axes, keepdims });
    return scope.op('ReduceSum', [value, scope.int64(axes)], { keepdims });
  };
  const result =
    loss.type === 'crossEntropy'
      ? crossEntropy(scope, builder.input(target, 'int64', ['N']), output, { ...loss, sum })
      : scope.op(
          'ReduceMean',
          [elements(scope, loss.type, output, elementTarget(builder, model, { output, target }))],
          {
            keepdims: 0,
          },
        );
  const name = builder.op('Identity', [result], {}, { name: 'loss' });
  builder.output(name, 'float32', []);
  return name;
}

/** Targets have the declared shape of the output, where it is declared. */
function elementTarget(
  builder: GraphBuilder,
  { graph }: ModelProto,
  { output, target }: { output: Value; target: string },
): Value {
  const declared = graph?.output.find(({ name }) => name === output)?.type?.value;
  const dims = declared?.case === 'tensorType' ? declared.value.shape?.dim : undefined;
  if (dims === undefined) {
    throw new SecateurError('INVALID_OPTION', `Expected ${output} to be an output of the model with a declared shape`);
  }
  const shape = dims.map(({ value }, axis) =>
    value.case === 'dimValue' ? Number(value.value) : (value.value ?? `D${axis}`),
  );
  return builder.input(target, 'float32', shape);
}

// T = ((1 - s) onehot + s / C) w: loss = -sum(T log softmax(z)) / sum(onehot w), over the samples not ignored
function crossEntropy(
  g: GraphBuilder,
  labels: Value,
  logits: Value,
  options: CrossEntropy & { sum: (value: Value, axes?: readonly number[]) => Value },
): Value {
  const {
    classes,
    ignoreIndex = -100,
    classWeights = new Array<number>(classes).fill(1),
    labelSmoothing = 0,
  } = options;
  checkCrossEntropy(classes, classWeights, labelSmoothing);
  const ignored = g.op('Equal', [labels, g.int64(ignoreIndex)]);
  const column = g.op('Reshape', [g.op('Cast', [g.op('Not', [ignored])], { to: 1 }), g.int64([-1, 1])]);
  const oneHot = g.op('OneHot', [labels, g.int64([classes]), g.float32([0, 1])], { axis: -1 });
  const factors = g.op('Mul', [column, g.float32(classWeights)]);
  const count = options.sum(g.op('Mul', [oneHot, factors]));
  const kept = g.op('Mul', [oneHot, g.float32(1 - labelSmoothing)]);
  const targets = g.op('Mul', [g.op('Add', [kept, g.float32(labelSmoothing / classes)]), factors]);
  const logProbabilities = g.op('LogSoftmax', [logits], { axis: 1 });
  return g.op('Neg', [g.op('Div', [options.sum(g.op('Mul', [targets, logProbabilities])), count])]);
}

function checkCrossEntropy(classes: number, weights: readonly number[], smoothing: number): void {
  if (!Number.isInteger(classes) || classes < 1 || weights.length !== classes) {
    throw new SecateurError(
      'INVALID_OPTION',
      `Expected one weight for each of ${classes} classes, got ${weights.length}`,
    );
  }
  if (!(smoothing >= 0 && smoothing < 1)) {
    throw new SecateurError('INVALID_OPTION', `Expected labelSmoothing to be a number in [0, 1), got ${smoothing}`);
  }
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
