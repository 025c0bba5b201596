// The graph that a trainer runs: parameters are inputs, the loss and the gradients are outputs.
import { clone } from '@bufbuild/protobuf';
import { SecateurError } from '../errors.js';
import type { Value } from '../onnx/build/graph-builder.js';
import { valueInfo } from '../onnx/build/tensors.js';
import { type ModelProto, ModelProtoSchema } from '../onnx/schema/onnx_pb.js';
import { addGradients, type GradientOptions } from './gradient.js';
import { moveToInputs } from './parameter-inputs.js';

export interface TrainingGraph {
  readonly model: ModelProto;
  /** Gradient outputs by parameter, in the order of `wrt`. */
  readonly gradients: ReadonlyMap<Value, Value>;
}

/**
 * A copy of the model in which the initializers `wrt` are inputs, and the outputs are the loss, then a gradient for
 * each of them, in order. The batch may differ from run to run where the model lets it.
 *
 * @throws SecateurError as {@link addGradients}; INVALID_OPTION where `wrt` is empty.
 */
export function buildTrainingGraph(model: ModelProto, options: GradientOptions): TrainingGraph {
  if (options.wrt.length === 0) {
    throw new SecateurError('INVALID_OPTION', 'Expected at least one parameter to train, got none');
  }
  const training = clone(ModelProtoSchema, model);
  const gradients = addGradients(training, options);
  const { graph } = training;
  if (graph === undefined) throw new SecateurError('INTERNAL', 'Expected a graph');
  const inputs = new Set(graph.input.map(({ name }) => name));
  moveToInputs(graph, new Set(options.wrt), options.shapes);
  graph.output = [options.loss, ...gradients.values()].map((name) => {
    const value = [...gradients].find(([, gradient]) => gradient === name)?.[0] ?? name;
    const facts = options.shapes.get(value) ?? { dtype: 'float32' as const, shape: [] };
    return valueInfo(
      name,
      facts.dtype,
      inputs.has(value) ? facts.shape.map((_, axis) => `${value}.${axis}`) : facts.shape,
    );
  });
  return { model: training, gradients };
}
