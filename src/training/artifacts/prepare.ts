// Training and evaluation models of artifacts as what a trainer runs. Pure preparation, like trainable.ts.
import { intAttribute, type ValueFacts } from '../../autodiff/rule.js';
import { SecateurError } from '../../errors.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import { elementType } from '../../onnx/dtypes.js';
import type { GraphProto, ModelProto, TensorProto } from '../../onnx/schema/onnx_pb.js';
import { findPrunable, type NameFilters } from '../../prune/prunable.js';
import { feedsOf } from '../evaluable.js';
import type { Parameter } from '../parameters.js';
import type { InputShapes } from '../probe.js';
import type { Trainable } from '../trainable.js';
import { findLossInputs, inferenceModel, type LossInputs, outputInfo } from './inference.js';
import { lowerTrainingGraph } from './lower-graph.js';
import { exposeStatistics } from './statistics.js';

export interface PrepareArtifactsOptions extends NameFilters {
  /** Shapes of inputs, with a batch of 2 or more, where the models leave more than the batch open. */
  inputShapes?: InputShapes;
}

interface Prepared {
  /** For inference: what is saved after training. */
  readonly model: ModelProto;
  readonly trainable: Trainable;
}

type Tensors = ReadonlyMap<Value, TensorProto>;

/**
 * Lowers the training model, and finds parameters, statistics and the inputs of the loss. Both models are changed.
 *
 * @param tensors the parameters of the checkpoint, frozen ones included.
 * @throws SecateurError as `lowerTrainingGraph`; INVALID_MODEL where the two models have different losses.
 */
export async function prepareArtifacts(
  models: { readonly training: ModelProto; readonly evaluation: ModelProto },
  tensors: Tensors,
  options: PrepareArtifactsOptions = {},
): Promise<Prepared> {
  const { evaluation } = models;
  const next = exposeStatistics(models.training);
  const { model: training, gradients, shapes } = await lowerTrainingGraph(models.training, options.inputShapes);
  const inputs = feedsOf(training).filter(({ name }) => !tensors.has(name));
  const ends = findLossInputs(
    evaluation,
    inputs.map(({ name }) => name),
  );
  checkLoss(training, ends.loss);
  const order = (training.graph?.input ?? []).flatMap(({ name }) => tensors.get(name) ?? []);
  const model = inferenceModel(evaluation, ends, order);
  const isChanged = (name: Value) => gradients.has(name) || next.has(name);
  for (const { graph } of [training, evaluation]) freeze(graph, tensors, isChanged);
  fetchOutput(evaluation, ends.output);
  const parameters = toParameters(
    order.filter(({ name }) => gradients.has(name)),
    model,
    options,
  );
  const trainable = {
    ...{ training, evaluation, inputs, parameters },
    ...{
      target: ends.target,
      loss: ends.loss,
      lossOptions: ends.loss,
      output: ends.output,
      ...classesOf(ends, inputs, shapes),
    },
    gradients: parameters.map(({ name }) => gradients.get(name) ?? ''),
    buffers: [...next].map(([name, value]) => ({ name, shape: shapes.get(name)?.shape ?? [], next: value })),
    frozen: order.flatMap(({ name }) => (isChanged(name) ? [] : [name])),
  };
  return { model, trainable };
}

function checkLoss({ graph }: ModelProto, loss: Value): void {
  if (graph?.output.some(({ name }) => name === loss)) return;
  const got = graph?.output[0]?.name ?? 'none';
  throw new SecateurError(
    'INVALID_MODEL',
    `Expected the training model to have the loss ${loss} of the evaluation model, got ${got}`,
  );
}

/** Makes initializers of the parameters that never change. */
function freeze(graph: GraphProto | undefined, tensors: Tensors, isChanged: (name: Value) => boolean): void {
  if (graph === undefined) return;
  const frozen = graph.input.flatMap(({ name }) => (isChanged(name) ? [] : (tensors.get(name) ?? [])));
  const names = new Set(frozen.map(({ name }) => name));
  graph.input = graph.input.filter(({ name }) => !names.has(name));
  graph.initializer.push(...frozen);
}

/** Evaluation wants to see what the loss sees. */
function fetchOutput({ graph }: ModelProto, output: Value): void {
  if (graph === undefined || graph.output.some(({ name }) => name === output)) return;
  graph.output.push(outputInfo(graph, output));
}

/** All of them decay where the optimizer decays: the official one knows no exceptions. */
function toParameters(tensors: readonly TensorProto[], model: ModelProto, filters: NameFilters): Parameter[] {
  const prunable = new Set(findPrunable(model, filters).prunable.map(({ tensor }) => tensor.name));
  return tensors.map((tensor) => {
    const { name } = tensor;
    const type = elementType(tensor.dataType).name;
    if (type !== 'float32') {
      throw new SecateurError('UNSUPPORTED', `Expected trainable parameter ${name} to be float32, got ${type}`, {
        tensor: name,
      });
    }
    return { tensor, name, shape: tensor.dims.map(Number), prune: prunable.has(name), decay: true };
  });
}

/** Accuracy is counted where labels are int64 class indices. */
function classesOf(
  { entropy, output, target, classes, ignoreIndex }: LossInputs,
  inputs: Trainable['inputs'],
  shapes: ReadonlyMap<Value, ValueFacts>,
) {
  if (classes !== undefined) return { classes, ignoreIndex };
  const labels = inputs.find(({ name }) => name === target);
  const countable = entropy !== undefined && labels?.type === 'int64' && shapes.get(output)?.shape.length === 2;
  const ignores = entropy?.attribute.some(({ name }) => name === 'ignore_index');
  return {
    classes: countable ? shapes.get(output)?.shape[1] : undefined,
    ignoreIndex: countable && ignores && entropy ? intAttribute(entropy, 'ignore_index', 0) : undefined,
  };
}
