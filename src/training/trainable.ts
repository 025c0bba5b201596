// A model made ready to train: the graph of a step, the graph of an evaluation, and the parameters that both take as
// inputs. Pure preparation: nothing is trained here, and no session stays open.
import { blockOperators } from '../autodiff/blocked-operators.js';
import { toInferenceMode } from '../autodiff/inference-mode.js';
import { parametersAsInputs } from '../autodiff/parameter-inputs.js';
import { buildTrainingGraph } from '../autodiff/training-graph.js';
import { toTrainingMode } from '../autodiff/training-mode.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import type { Granularity } from '../prune/granularity.js';
import type { PlannedBuffer } from './engine/plan.js';
import { type Evaluable, type LossChoice, withLoss } from './evaluable.js';
import { groupParameters, type ParameterGrouping } from './grouping.js';
import { findFrozen, findParameters, type ParameterFilters, type TrainedParameter, unwanted } from './parameters.js';
import { probeShapes } from './probe.js';

export interface TrainableOptions extends ParameterFilters, LossChoice {
  /** What is pruned as one; see `PruneOptions`. @default 'weight' */
  granularity?: Granularity | undefined;
  /** Seeds Dropout, 0 to 2^31 - 1. @default 0 */
  seed?: number | undefined;
}

/** What a trainer runs. */
export interface Trainable extends Evaluable {
  /** Feeds and parameters in; the loss, then a gradient for each parameter. */
  readonly training: ModelProto;
  /** Feeds and parameters in; the loss and the model's outputs. */
  readonly evaluation: ModelProto;
  readonly parameters: readonly TrainedParameter[];
  /** Undefined where single weights are pruned. */
  readonly grouping?: ParameterGrouping | undefined;
  /** Gradient outputs, one a parameter. */
  readonly gradients: readonly string[];
  /** Running statistics: inputs of both graphs, and the outputs of the training graph that are their next values. */
  readonly buffers: readonly PlannedBuffer[];
  /** Initializers that stay as they are, and that a checkpoint holds beside parameters and buffers. */
  readonly frozen: readonly string[];
}

/** For which runtime the graphs are laid out. */
export interface Layout {
  /** As {@link channelBlock} says of this machine. @default undefined: graphs for any */
  readonly channelBlock?: number | undefined;
}

/**
 * Differentiates a model that is in memory (see `materialize`); the model itself is not changed.
 *
 * @throws SecateurError INVALID_OPTION, UNSUPPORTED (all operators without a gradient at once), NO_RUNTIME, RUNTIME.
 */
export async function prepareTraining(
  source: ModelProto,
  options: TrainableOptions = {},
  { channelBlock }: Layout = {},
): Promise<Trainable> {
  const { model, evaluable, constants } = await withLoss(source, options);
  const { granularity, exclude } = options;
  const { parameters, grouping } = groupParameters(model, findParameters(model, options), granularity, exclude);
  const mode = toTrainingMode(model, { frozen: unwanted(model, options), seed: (options.seed ?? 0) % 2 ** 31 });
  const shapes = await probeShapes(mode.model, options.inputShapes);
  const names = parameters.map(({ name }) => name);
  const wanted = { loss: evaluable.loss, wrt: names, shapes, constants, channelBlock, running: mode.running };
  const { model: training, gradients } = buildTrainingGraph(mode.model, wanted);
  const evaluation = parametersAsInputs(toInferenceMode(model), [...names, ...mode.running.keys()], shapes);
  if (channelBlock !== undefined) blockOperators(evaluation, shapes, channelBlock);
  const buffers = [...mode.running].map(([name, next]) => ({ name, shape: shapes.get(name)?.shape ?? [], next }));
  return {
    ...evaluable,
    training,
    evaluation,
    // Without the tensors: they would keep the weights in memory a second time.
    parameters: parameters.map(({ tensor: _, ...parameter }) => parameter),
    grouping,
    gradients: names.map((name) => gradients.get(name) ?? ''),
    buffers,
    frozen: findFrozen(model, [...names, ...mode.running.keys()]),
  };
}
