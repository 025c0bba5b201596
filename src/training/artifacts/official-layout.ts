// A trainable's graphs in the layout that ONNX Runtime's training API expects: users' inputs, then all parameters in the
// order of the model's initializers, then what gradients are added up in.

import { contrib, importDomain } from '../../autodiff/opsets.js';
import { SecateurError } from '../../errors.js';
import { GraphBuilder, type Value } from '../../onnx/build/graph-builder.js';
import { valueInfo } from '../../onnx/build/tensors.js';
import { copyModel } from '../../onnx/copy.js';
import type { GraphProto, ModelProto, TensorProto, ValueInfoProto } from '../../onnx/schema/onnx_pb.js';
import type { Trainable } from '../trainable.js';
import { noteInference } from './inference.js';
import { ACCUMULATOR, bufferOf, flagOf, LAZY_RESET } from './names.js';

export interface OfficialLayout {
  readonly training: ModelProto;
  readonly evaluation: ModelProto;
  /** Trainable parameters, statistics and frozen weights, in the order of the model's initializers. */
  readonly parameters: readonly TensorProto[];
}

/** @param additional outputs of the model that both graphs have beside the loss. */
export function officialLayout(model: ModelProto, trainable: Trainable, additional: readonly Value[]): OfficialLayout {
  const changing = [...trainable.parameters, ...trainable.buffers].map(({ name }) => name);
  const names = new Set([...changing, ...trainable.frozen]);
  const parameters = graphOf(model).initializer.filter(({ name }) => names.has(name));
  const shown = additional.map((name) => declared(graphOf(model), name));
  return {
    training: trainingModel(trainable, parameters, shown),
    evaluation: evaluationModel(trainable, parameters, { shown, inference: graphOf(model).output }),
    parameters,
  };
}

function graphOf(model: ModelProto): GraphProto {
  if (model.graph !== undefined) return model.graph;
  throw new SecateurError('INVALID_MODEL', 'Expected a model with a graph, got none');
}

function declared({ output }: GraphProto, name: Value): ValueInfoProto {
  const found = output.find((value) => value.name === name);
  if (found !== undefined) return found;
  const known = output.map((value) => JSON.stringify(value.name)).join(', ');
  throw new SecateurError(
    'INVALID_OPTION',
    `Expected additionalOutputs to be outputs of the model, ${known}, got ${JSON.stringify(name)}`,
    { option: 'additionalOutputs' },
  );
}

function trainingModel(
  trainable: Trainable,
  parameters: readonly TensorProto[],
  shown: readonly ValueInfoProto[],
): ModelProto {
  const model = copyModel(trainable.training);
  const graph = graphOf(model);
  importDomain(model, contrib);
  parametersLast(graph, trainable, parameters);
  const builder = GraphBuilder.extend(graph);
  const trained = new Map(trainable.parameters.map(({ name }, index) => [name, trainable.gradients[index] ?? '']));
  // The same order as the parameters' inputs.
  const gradients = parameters.flatMap(({ name, dims }) => {
    const gradient = trained.get(name);
    return gradient === undefined ? [] : [{ name, gradient, shape: dims.map(Number) }];
  });
  for (const { name, shape } of gradients) builder.input(bufferOf(name), 'float32', shape);
  builder.input(LAZY_RESET, 'bool', [1]);
  const options = { name: 'GradientAccumulator', domain: contrib };
  for (const { name, gradient } of gradients) {
    builder.op(ACCUMULATOR, [bufferOf(name), gradient, LAZY_RESET], {}, { ...options, outputs: [flagOf(name)] });
  }
  overwriteStatistics(builder, trainable);
  graph.output = [valueInfo(trainable.loss, 'float32', []), ...shown];
  for (const { name } of gradients) builder.output(flagOf(name), 'bool', [1]);
  return model;
}

/** Running statistics are parameters that the graph itself changes: an accumulator that always begins anew. */
function overwriteStatistics(builder: GraphBuilder, { buffers }: Trainable): void {
  const always = buffers.length > 0 ? builder.op('Cast', [builder.int64([1])], { to: 9 }, { name: 'always' }) : '';
  for (const { name, next } of buffers) {
    if (next === undefined) continue;
    builder.op(ACCUMULATOR, [name, next, always], {}, { name: `${name}.updated`, domain: contrib });
  }
}

function evaluationModel(
  trainable: Trainable,
  parameters: readonly TensorProto[],
  { shown, inference }: { shown: readonly ValueInfoProto[]; inference: readonly ValueInfoProto[] },
): ModelProto {
  const model = copyModel(trainable.evaluation);
  const graph = graphOf(model);
  parametersLast(graph, trainable, parameters);
  graph.output = [valueInfo(trainable.loss, 'float32', []), ...shown];
  graph.valueInfo.push(...inference.filter((value) => !shown.includes(value)));
  const outputs = inference.map(({ name }) => name);
  noteInference(model, trainable, outputs);
  return model;
}

/** Inputs: the users', then all parameters, which are no initializers any more. */
function parametersLast(graph: GraphProto, { inputs }: Trainable, parameters: readonly TensorProto[]): void {
  const names = new Set(parameters.map(({ name }) => name));
  const fed = new Set(inputs.map(({ name }) => name));
  graph.input = graph.input.filter(({ name }) => fed.has(name));
  graph.input.push(...parameters.map(({ name, dims }) => valueInfo(name, 'float32', dims.map(Number))));
  graph.initializer = graph.initializer.filter(({ name }) => !names.has(name));
}
