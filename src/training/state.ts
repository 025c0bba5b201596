// All that a training run is, as a checkpoint in ONNX Runtime's format, so that it can go on later as if it had never
// stopped. What the format has no place for lies beside the momenta and among the properties, under names of our own.
import { createHash } from 'node:crypto';
import { SecateurError } from '../errors.js';
import type { NativeAdmmState, StoreSlot } from '../native/training-contract.js';
import { readCheckpoint, writeCheckpoint } from './checkpoint/files.js';
import type { Checkpoint, CheckpointTensor, ParameterState, Property } from './checkpoint/types.js';
import type { ParameterStore } from './parameter-store.js';
import type { Trainer } from './trainer.js';

/** Slots of the store by the name that their tensors have in a checkpoint. */
const slots: Readonly<Record<string, StoreSlot>> = {
  momentum0: 'firstMoment',
  momentum1: 'secondMoment',
  'secateur.admm': 'admm',
  'secateur.average': 'average',
};
const MASK = 'secateur.mask';
const SUPPORT = 'secateur.support';
const FLOAT = 1;
const UINT8 = 2;
const GROUP = 'group0';

/**
 * Writes a trainer's state, atomically. Call it between two steps.
 *
 * @param note what the caller wants back, such as how far it was.
 * @throws SecateurError IO
 */
export async function saveState(path: string, trainer: Trainer, note: unknown): Promise<void> {
  const { store, buffers, trainable, steps } = trainer;
  const states = trainable.parameters.map(({ name, shape }, index) => stateOf(store, { name, shape, index }));
  const checkpoint: Checkpoint = {
    version: 2,
    trainable: tensorsOf(store, trainable.parameters),
    frozen: tensorsOf(buffers, trainable.buffers),
    nominal: false,
    optimizerGroups: [{ name: GROUP, step: steps, initialLearningRate: 0, states }],
    properties: [
      text('secateur.model', fingerprint(trainer)),
      text('secateur.note', JSON.stringify(note)),
      text('secateur.admm', JSON.stringify(store.admmState ?? null)),
    ],
  };
  await writeCheckpoint(path, checkpoint);
}

/**
 * Puts a saved state back, and returns its note.
 *
 * @throws SecateurError IO, INVALID_DATA; INVALID_OPTION where it is another model's. The trainer is unchanged then.
 */
export async function restoreState(path: string, trainer: Trainer): Promise<unknown> {
  const checkpoint = await readCheckpoint(path);
  const properties = new Map(checkpoint.properties.map(({ name, value }) => [name, String(value)]));
  if (properties.get('secateur.model') !== fingerprint(trainer)) throw otherModel(path);
  const { store, buffers, trainable } = trainer;
  const states = new Map(checkpoint.optimizerGroups[0]?.states.map((state) => [state.parameter, state.momentums]));
  fill(store.views('parameters'), trainable.parameters, checkpoint.trainable);
  fill(buffers.views('parameters'), trainable.buffers, checkpoint.frozen);
  for (const [name, slot] of Object.entries(slots)) {
    const tensors = [...states].flatMap(([parameter, list]) => renamed(list, name, parameter));
    if (tensors.length > 0) fill(store.views(slot), trainable.parameters, tensors);
  }
  restoreBytes(trainer, states);
  store.admmState = (JSON.parse(properties.get('secateur.admm') ?? 'null') ?? undefined) as NativeAdmmState | undefined;
  await trainer.setSteps(checkpoint.optimizerGroups[0]?.step ?? 0);
  return JSON.parse(properties.get('secateur.note') ?? 'null');
}

/** The mask, and the support that a projection by groups has left. */
function restoreBytes({ store, trainable }: Trainer, states: ReadonlyMap<string, CheckpointTensor[]>): void {
  const saved = (key: string) => [...states].flatMap(([parameter, list]) => renamed(list, key, parameter));
  const [masks, supports] = [saved(MASK), saved(SUPPORT)];
  store.clearMask();
  if (masks.length > 0) {
    fill(store.maskViews(), trainable.parameters, masks);
    store.setMask('present');
  }
  if (supports.length > 0) fill(store.supportViews(), trainable.parameters, supports);
}

function tensorsOf(store: ParameterStore, list: readonly { name: string; shape: readonly number[] }[]) {
  const views = store.views('parameters');
  return list.map(({ name, shape }, index) => tensor(name, shape, views[index] ?? new Float32Array(0)));
}

function tensor(name: string, shape: readonly number[], data: Float32Array | Uint8Array): CheckpointTensor {
  return {
    name,
    dims: [...shape],
    dataType: data instanceof Float32Array ? FLOAT : UINT8,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

function stateOf(
  store: ParameterStore,
  { name, shape, index }: { name: string; shape: readonly number[]; index: number },
): ParameterState {
  const momentums = Object.entries(slots)
    .filter(([, slot]) => store.has(slot))
    .map(([key, slot]) => tensor(key, shape, store.views(slot)[index] ?? new Float32Array(0)));
  if (store.has('mask')) momentums.push(tensor(MASK, shape, store.maskViews()[index] ?? new Uint8Array(0)));
  if (store.has('support')) momentums.push(tensor(SUPPORT, shape, store.supportViews()[index] ?? new Uint8Array(0)));
  return { parameter: name, momentums };
}

function renamed(list: readonly CheckpointTensor[], key: string, parameter: string): CheckpointTensor[] {
  return list.filter(({ name }) => name === key).map((found) => ({ ...found, name: parameter }));
}

function fill(
  views: readonly (Float32Array | Uint8Array)[],
  list: readonly { name: string }[],
  tensors: readonly CheckpointTensor[],
): void {
  for (const [index, { name }] of list.entries()) {
    const view = views[index];
    const found = tensors.find((candidate) => candidate.name === name);
    if (view === undefined || found === undefined) continue;
    if (found.data.byteLength !== view.byteLength) {
      const message = `Expected ${view.byteLength} bytes of ${name} in the checkpoint, got ${found.data.byteLength}`;
      throw new SecateurError('INVALID_DATA', message, { tensor: name });
    }
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(found.data);
  }
}

/** Tells models apart by the names and shapes of what is trained, and by what is pruned. */
function fingerprint({ trainable: { parameters, buffers, grouping } }: Trainer): string {
  const facts = [
    grouping?.granularity ?? 'weight',
    ...parameters.map(({ name, shape, prune }) => [name, shape, prune]),
    ...buffers.map(({ name, shape }) => [name, shape]),
  ];
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
}

function text(name: string, value: string): Property {
  return { kind: 'string', name, value };
}

function otherModel(path: string): SecateurError {
  return new SecateurError(
    'INVALID_OPTION',
    `Expected ${path} to be a checkpoint of this model, but its parameters have other names, shapes or globs; ` +
      'resume with the model and options that it was made with',
    { path },
  );
}
