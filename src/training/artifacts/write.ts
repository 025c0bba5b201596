// Writes training artifacts: training_model.onnx, eval_model.onnx, optimizer_model.onnx and checkpoint, as ONNX Runtime's
// own tool lays them out, for its training API of 1.19 (the last release) and for this package.

import { aborted, SecateurError } from '../../errors.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import { opsetOf } from '../../onnx/opset.js';
import type { ModelProto, TensorProto } from '../../onnx/schema/onnx_pb.js';
import { writeModel } from '../../onnx/write.js';
import { checkKeys, checkNumber } from '../../options.js';
import { writeCheckpoint } from '../checkpoint/files.js';
import type { Checkpoint } from '../checkpoint/types.js';
import { checkPayload, readWholeModel } from '../model-file.js';
import { prepareTraining, type Trainable, type TrainableOptions } from '../trainable.js';
import { DEFAULT_LEARNING_RATE, GROUP } from './names.js';
import { officialLayout } from './official-layout.js';
import { type ArtifactOptimizer, optimizerModel } from './optimizer-model.js';
import { artifactPaths } from './paths.js';
import { writeTogether } from './write-together.js';

export interface WriteArtifactsOptions extends TrainableOptions {
  /** @default { type: 'adamw' } with the official tool's settings: epsilon 1e-6, no decay, form `runtime` */
  optimizer?: ArtifactOptimizer;
  /** Kept in the checkpoint: what `openArtifacts` begins with. ONNX Runtime 1.19.2 begins with 0.001 all the same. Above 0. @default 0.001 */
  learningRate?: number;
  /** Outputs of the model that training and evaluation give beside the loss. @default [] */
  additionalOutputs?: readonly Value[];
  /** Before the names of the files. @default '' */
  prefix?: string;
  /** Stops before anything is written. */
  signal?: AbortSignal | undefined;
}

/** What was written. */
export interface ArtifactsReport {
  readonly files: {
    readonly training: string;
    readonly evaluation: string;
    readonly checkpoint: string;
    readonly optimizer: string;
  };
  readonly inputs: readonly string[];
  /** The input of labels or targets. */
  readonly target: string;
  readonly loss: string;
  /** The output that the loss looks at. */
  readonly lossOutput: string;
  readonly trainable: readonly ArtifactParameter[];
  /** Weights that no gradient changes, running statistics among them. */
  readonly frozen: readonly ArtifactParameter[];
  readonly optimizer: ArtifactOptimizer['type'];
}

export interface ArtifactParameter {
  readonly name: string;
  readonly shape: readonly number[];
}

const KEYS = [
  ...['include', 'exclude', 'trainable', 'frozen', 'loss', 'lossOutput', 'inputShapes'],
  ...['optimizer', 'learningRate', 'additionalOutputs', 'prefix', 'signal'],
];

/** What ONNX Runtime 1.19 reads at most. */
const LAST_OPSET = 21;
const LAST_IR_VERSION = 10n;

/**
 * Differentiates a model and writes the four files, all of them or none. The folder is made where it is missing.
 *
 * @param model an ONNX file, or a model in memory with its tensors, which is not changed.
 * @throws SecateurError INVALID_OPTION; UNSUPPORTED with all operators that have no gradient, or where the model is newer
 *   than the official runtime; IO; NO_RUNTIME, since shapes come from a run of the model.
 */
export async function writeArtifacts(
  model: string | ModelProto,
  folder: string,
  options: WriteArtifactsOptions = {},
): Promise<ArtifactsReport> {
  checkKeys('option', Object.keys(options), KEYS);
  const { optimizer = { type: 'adamw' }, learningRate, additionalOutputs = [], prefix = '', signal, ...rest } = options;
  checkNumber('learningRate', learningRate ?? DEFAULT_LEARNING_RATE, { least: Number.MIN_VALUE });
  const source = typeof model === 'string' ? readWholeModel(model) : model;
  checkVersions(source);
  const updates = optimizerModel(optimizer);
  const trainable = await prepareTraining(source, rest);
  const { training, evaluation, parameters } = officialLayout(source, trainable, additionalOutputs);
  for (const tensor of parameters) checkPayload(tensor);
  const files = artifactPaths(folder, prefix);
  if (signal?.aborted) throw aborted(signal);
  await writeTogether(folder, prefix, async (paths) => {
    await writeModel(paths.training, training);
    await writeModel(paths.evaluation, evaluation);
    await writeModel(paths.optimizer, updates);
    await writeCheckpoint(paths.checkpoint, newCheckpoint(trainable, parameters, learningRate));
  });
  return { files, ...reportOf(trainable, parameters), optimizer: optimizer.type };
}

function checkVersions(model: ModelProto): void {
  const opset = opsetOf(model);
  if (opset <= LAST_OPSET && model.irVersion <= LAST_IR_VERSION) return;
  throw new SecateurError(
    'UNSUPPORTED',
    `Expected a model of opset ${LAST_OPSET} and IR version ${LAST_IR_VERSION} or earlier, which ONNX Runtime 1.19 reads (the last ` +
      `release that trains), got opset ${opset} and IR version ${model.irVersion}`,
  );
}

function newCheckpoint(trainable: Trainable, tensors: readonly TensorProto[], learningRate?: number): Checkpoint {
  const trained = new Set(trainable.parameters.map(({ name }) => name));
  const all = tensors.map(({ name, dims, dataType, rawData }) => ({
    name,
    dims: dims.map(Number),
    dataType,
    data: rawData,
  }));
  return {
    version: 2,
    trainable: all.filter(({ name }) => trained.has(name)),
    frozen: all.filter(({ name }) => !trained.has(name)),
    nominal: false,
    // As official ones: without a group where there is nothing to say.
    optimizerGroups:
      learningRate === undefined ? [] : [{ name: GROUP, step: 0, initialLearningRate: learningRate, states: [] }],
    properties: [],
  };
}

function reportOf({ inputs, target, loss, output, parameters }: Trainable, tensors: readonly TensorProto[]) {
  const trained = new Set(parameters.map(({ name }) => name));
  const all = tensors.map(({ name, dims }) => ({ name, shape: dims.map(Number) }));
  return {
    inputs: inputs.map(({ name }) => name),
    ...{ target, loss, lossOutput: output },
    trainable: all.filter(({ name }) => trained.has(name)),
    frozen: all.filter(({ name }) => !trained.has(name)),
  };
}
