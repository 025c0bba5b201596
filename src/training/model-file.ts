// From a model to a trainable with its stores, and back to a file. The model's tensors become views of the stores, so
// that it always holds what training has made of it, and no weight is in memory twice.

import { SecateurError } from '../errors.js';
import { freeMemory } from '../free-memory.js';
import { copyModel } from '../onnx/copy.js';
import { readModel } from '../onnx/load.js';
import { materialize } from '../onnx/payload.js';
import type { ModelProto, TensorProto } from '../onnx/schema/onnx_pb.js';
import { channelBlock } from './channel-block.js';
import { nativeGrouping } from './grouping.js';
import { ParameterStore } from './parameter-store.js';
import { prepareTraining, type Trainable, type TrainableOptions } from './trainable.js';

export interface LoadedTrainable {
  readonly model: ModelProto;
  readonly trainable: Trainable;
  readonly store: ParameterStore;
  readonly buffers: ParameterStore;
}

/** Reads and differentiates a model, and moves its parameters into stores. */
export async function loadTrainable(source: string | ModelProto, options: TrainableOptions): Promise<LoadedTrainable> {
  const given = typeof source === 'string' ? readWholeModel(source) : source;
  const model = copyModel(given); // A model of the caller's keeps its own tensors.
  const loaded = intoStores(model, await prepareTraining(model, options, { channelBlock: await channelBlock() }));
  if (typeof source === 'string') freeMoved(given, loaded.trainable);
  return loaded;
}

/** Frees what a model that nobody needs any more has of tensors that lie in stores by now. */
export function freeMoved({ graph }: ModelProto, { parameters, buffers }: Trainable): void {
  const moved = new Set([...parameters, ...buffers].map(({ name }) => name));
  const bytes = graph?.initializer.filter(({ name }) => moved.has(name)).map(({ rawData }) => rawData) ?? [];
  freeMemory(bytes.filter(({ buffer, byteLength }) => byteLength === buffer.byteLength).map(({ buffer }) => buffer));
}

/** Moves the parameters and statistics of a model into stores. */
export function intoStores(model: ModelProto, trainable: Trainable): LoadedTrainable {
  const store = ParameterStore.create(
    trainable.parameters.map(({ name, shape, prune, decay = prune, grouped }) => {
      return { name, size: elementsOf(shape), prune, decay, follow: !prune && grouped !== undefined };
    }),
  );
  store.setGrouping(nativeGrouping(trainable.parameters, trainable.grouping));
  const buffers = ParameterStore.create(
    trainable.buffers.map(({ name, shape }) => ({ name, size: elementsOf(shape), prune: false })),
  );
  moveInto(store, model, trainable.parameters);
  moveInto(buffers, model, trainable.buffers);
  return { model, trainable, store, buffers };
}

/** A model from a file with all its tensors. */
export function readWholeModel(path: string): ModelProto {
  const loaded = readModel(path);
  materialize(loaded);
  return loaded.model;
}

function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Copies tensors into a store, and makes them views of it. */
function moveInto(store: ParameterStore, model: ModelProto, list: readonly { readonly name: string }[]): void {
  const views = store.views('parameters');
  for (const [index, { name }] of list.entries()) {
    const tensor = initializer(model, name);
    const view = views[index] ?? new Float32Array(0);
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    checkPayload(tensor);
    bytes.set(tensor.rawData);
    tensor.rawData = bytes;
  }
}

/** @throws SecateurError INVALID_MODEL where a float32 tensor does not hold all its elements in `rawData`. */
export function checkPayload({ name, dims, rawData }: TensorProto): void {
  const bytes = 4 * elementsOf(dims.map(Number));
  if (rawData.byteLength === bytes) return;
  const message = `Expected ${bytes} bytes in rawData of tensor ${name}, got ${rawData.byteLength}`;
  throw new SecateurError('INVALID_MODEL', message, { tensor: name });
}

function initializer(model: ModelProto, name: string): TensorProto {
  const found = model.graph?.initializer.find((tensor) => tensor.name === name);
  if (found === undefined) throw new SecateurError('INTERNAL', `Expected an initializer ${name}`, { tensor: name });
  return found;
}

/** A copy of the model whose parameters are views of the moving averages of a store. */
export function withAverages(model: ModelProto, { parameters }: Trainable, store: ParameterStore): ModelProto {
  const copy = copyModel(model);
  const views = store.views('average');
  for (const [index, { name }] of parameters.entries()) {
    const view = views[index] ?? new Float32Array(0);
    initializer(copy, name).rawData = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  }
  return copy;
}
