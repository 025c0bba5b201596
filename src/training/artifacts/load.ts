// Training artifacts, official ones or ours, as what a trainer runs: the training graph lowered, parameters and momenta
// in stores, the optimizer's settings.
import { create } from '@bufbuild/protobuf';
import { SecateurError } from '../../errors.js';
import { type TensorProto, TensorProtoSchema } from '../../onnx/schema/onnx_pb.js';
import { readCheckpoint } from '../checkpoint/files.js';
import type { Checkpoint, CheckpointTensor, OptimizerGroup, Property } from '../checkpoint/types.js';
import { intoStores, type LoadedTrainable, readWholeModel } from '../model-file.js';
import type { Trainable } from '../trainable.js';
import { DEFAULT_LEARNING_RATE, GROUP, momentumName } from './names.js';
import { type ArtifactOptimizer, readOptimizerModel } from './optimizer-model.js';
import { type ArtifactPaths, findArtifacts } from './paths.js';
import { type PrepareArtifactsOptions, prepareArtifacts } from './prepare.js';

export interface LoadArtifactsOptions extends PrepareArtifactsOptions {
  /** Before the names of the files. @default '' */
  prefix?: string;
}

export interface LoadedArtifacts extends LoadedTrainable {
  /** As the optimizer model says; undefined where there is none. */
  readonly optimizer: ArtifactOptimizer | undefined;
  readonly learningRate: number;
  /** Steps that the checkpoint has behind it. */
  readonly steps: number;
  /** What its users kept in the checkpoint. */
  readonly properties: readonly Property[];
}

/**
 * Reads training artifacts.
 *
 * @param source their folder, or the paths of the files.
 * @throws SecateurError IO; INVALID_MODEL, INVALID_DATA where files contradict each other; UNSUPPORTED with all operators
 *   that cannot be lowered, and for ORT format, other element types and nominal checkpoints; INVALID_OPTION where an
 *   input's shape has to be given; NO_RUNTIME.
 */
export async function loadArtifacts(
  source: string | ArtifactPaths,
  options: LoadArtifactsOptions = {},
): Promise<LoadedArtifacts> {
  const paths = typeof source === 'string' ? await findArtifacts(source, options.prefix) : source;
  const checkpoint = await readCheckpoint(paths.checkpoint);
  const group = checkpoint.optimizerGroups.find(({ name }) => name === GROUP);
  const models = { training: readWholeModel(paths.training), evaluation: readWholeModel(paths.evaluation) };
  const prepared = await prepareArtifacts(models, tensorsOf(checkpoint, paths.checkpoint), options);
  checkComplete(prepared.trainable, checkpoint, paths.checkpoint);
  const loaded = intoStores(prepared.model, prepared.trainable);
  if (group !== undefined) restoreMomenta(loaded, group, paths.checkpoint);
  return {
    ...loaded,
    optimizer: paths.optimizer === undefined ? undefined : readOptimizerModel(readWholeModel(paths.optimizer)),
    learningRate: group?.initialLearningRate || DEFAULT_LEARNING_RATE,
    steps: group?.step ?? 0,
    properties: checkpoint.properties,
  };
}

/** The checkpoint's tensors as initializers, by name. */
function tensorsOf({ trainable, frozen, nominal }: Checkpoint, path: string): Map<string, TensorProto> {
  if (nominal) {
    throw new SecateurError('UNSUPPORTED', `Expected ${path} to hold the parameters, got a nominal checkpoint`, {
      path,
    });
  }
  return new Map([...trainable, ...frozen].map((tensor) => [tensor.name, toInitializer(tensor)]));
}

function toInitializer({ name, dims, dataType, data, strings }: CheckpointTensor): TensorProto {
  const stringData = strings?.map((text) => new TextEncoder().encode(text)) ?? [];
  return create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType, rawData: data.slice(), stringData });
}

/** Every parameter of the graph is in the checkpoint, in the same shape and trainable where it has a gradient. */
function checkComplete({ parameters, buffers }: Trainable, { trainable, frozen }: Checkpoint, path: string): void {
  const known = new Map([...trainable, ...frozen].map((tensor) => [tensor.name, tensor]));
  for (const { name, shape } of [...parameters, ...buffers]) {
    const dims = known.get(name)?.dims;
    if (dims?.join() === shape.join()) continue;
    const got = dims === undefined ? 'nothing' : `[${dims.join(', ')}]`;
    const message = `Expected ${path} to have ${name} in the training model's shape [${shape.join(', ')}], got ${got}`;
    throw new SecateurError('INVALID_DATA', message, { path, tensor: name });
  }
  const learned = new Set(parameters.map(({ name }) => name));
  const lost = trainable.find(({ name }) => !learned.has(name));
  if (lost === undefined) return;
  const message = `Expected the training model to have a gradient of ${lost.name}, which ${path} says is trainable`;
  throw new SecateurError('INVALID_DATA', message, { path, tensor: lost.name });
}

const slots = ['firstMoment', 'secondMoment'] as const;

/** Momenta of parameters into the store; a parameter without any keeps zeros. */
function restoreMomenta({ store, trainable }: LoadedTrainable, { states }: OptimizerGroup, path: string): void {
  const momenta = new Map(states.map(({ parameter, momentums }) => [parameter, momentums]));
  for (const [order, slot] of slots.entries()) {
    const found = trainable.parameters.map(({ name }) => {
      return momenta.get(name)?.find((tensor) => tensor.name === momentumName(order));
    });
    if (found.every((tensor) => tensor === undefined)) continue;
    for (const [index, view] of store.views(slot).entries()) {
      const data = found[index]?.data;
      if (data === undefined) continue;
      const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      if (data.byteLength !== bytes.byteLength) {
        const tensor = trainable.parameters[index]?.name ?? '';
        const message = `Expected ${bytes.byteLength} bytes of ${slot} of ${tensor} in ${path}, got ${data.byteLength}`;
        throw new SecateurError('INVALID_DATA', message, { path, tensor });
      }
      bytes.set(data);
    }
  }
}
