// The graph that a trainer runs: parameters are inputs, the loss and the gradients are outputs.

import { SecateurError } from '../errors.js';
import type { Value } from '../onnx/build/graph-builder.js';
import { valueInfo } from '../onnx/build/tensors.js';
import { copyModel } from '../onnx/copy.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { blockOperators } from './blocked-operators.js';
import { orderForMemory } from './execution-order.js';
import { differentiate, type GradientOptions } from './gradient.js';
import { moveToInputs } from './parameter-inputs.js';

export interface TrainingGraphOptions extends GradientOptions {
  /** Running statistics and their updated values, as {@link toTrainingMode} names them. @default none */
  readonly running?: ReadonlyMap<Value, Value>;
}

export interface TrainingGraph {
  readonly model: ModelProto;
  /** Gradient outputs by parameter, in the order of `wrt`. */
  readonly gradients: ReadonlyMap<Value, Value>;
}

/**
 * A copy of the model in which the initializers `wrt` and the running statistics are inputs, and the outputs are the
 * loss, then a gradient for each of `wrt`, then the updated statistics, in order. The batch may differ from run to run
 * where the model lets it.
 *
 * @throws SecateurError as {@link addGradients}; INVALID_OPTION where `wrt` is empty.
 */
export function buildTrainingGraph(model: ModelProto, options: TrainingGraphOptions): TrainingGraph {
  if (options.wrt.length === 0) {
    throw new SecateurError('INVALID_OPTION', 'Expected at least one parameter to train, got none');
  }
  const training = copyModel(model);
  const { gradients, facts } = differentiate(training, options);
  const { graph } = training;
  if (graph === undefined) throw new SecateurError('INTERNAL', 'Expected a graph');
  const { loss, running = new Map<Value, Value>() } = options;
  const parameters = new Set([...options.wrt, ...running.keys()]);
  const inputs = new Set(graph.input.map(({ name }) => name));
  moveToInputs(graph, parameters, options.shapes);
  const outputs = new Map([[loss, loss], ...[...gradients, ...running].map(([like, name]) => [name, like] as const)]);
  graph.output = [...outputs].map(([name, like]) => {
    const facts = options.shapes.get(like) ?? { dtype: 'float32' as const, shape: [] };
    const shape = inputs.has(like) ? facts.shape.map((_, axis) => `${like}.${axis}`) : facts.shape;
    return valueInfo(name, facts.dtype, shape);
  });
  const { channelBlock } = options;
  if (channelBlock !== undefined) blockOperators(training, new Map([...options.shapes, ...facts]), channelBlock);
  orderForMemory(graph, parameters);
  return { model: training, gradients };
}
