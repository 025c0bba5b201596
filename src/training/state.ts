// All that a training run is, as a checkpoint in ONNX Runtime's format, so that it can go on later as if it had never
// stopped. What the format has no place for lies beside the momenta and among the properties, under names of our own.
import { createHash } from 'node:crypto';
import { SecateurError } from '../errors.js';
import type { NativeAdmmState, StoreSlot } from '../native/training-contract.js';
import { readCheckpoint, writeCheckpoint } from './checkpoint/files.js';
import type { Checkpoint, CheckpointTensor, ParameterState, Property } from './checkpoint/types.js';
import type { ParameterStore } from './parameter-store.js';
import type { Trainer } from './trainer.js';

interface Shaped {
  readonly name: string;
  readonly shape: readonly number[];
}

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
  const states = statesOf(store, trainable.parameters);
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
 * @param accept gets the note before anything is changed, and may throw.
 * @throws SecateurError IO, INVALID_DATA; INVALID_OPTION where it is another model's. The trainer is unchanged then.
 */
export async function restoreState<Note = unknown>(
  path: string,
  trainer: Trainer,
  accept: (note: unknown) => Note = (note) => note as Note,
): Promise<Note> {
  const checkpoint = await readCheckpoint(path);
  const properties = new Map(checkpoint.properties.map(({ name, value }) => [name, String(value)]));
  if (properties.get('secateur.model') !== fingerprint(trainer)) throw otherModel(path);
  const note = accept(parse(path, properties.get('secateur.note')));
  const admm = (parse(path, properties.get('secateur.admm')) ?? undefined) as NativeAdmmState | undefined;
  const { store, buffers, trainable } = trainer;
  const states = checkpoint.optimizerGroups[0]?.states ?? [];
  const saved = new Map(
    [...Object.keys(slots), MASK, SUPPORT].map((key) => [key, states.flatMap((state) => renamed(state, key))]),
  );
  checkSizes(trainable.parameters, checkpoint.trainable);
  checkSizes(trainable.buffers, checkpoint.frozen);
  for (const tensors of saved.values()) if (tensors.length > 0) checkSizes(trainable.parameters, tensors);
  fill(store.views('parameters'), trainable.parameters, checkpoint.trainable);
  fill(buffers.views('parameters'), trainable.buffers, checkpoint.frozen);
  for (const [key, slot] of Object.entries(slots)) {
    const tensors = saved.get(key) ?? [];
    if (tensors.length > 0) fill(store.views(slot), trainable.parameters, tensors);
  }
  restoreBytes(trainer, saved.get(MASK) ?? [], saved.get(SUPPORT) ?? []);
  store.admmState = admm;
  await trainer.setSteps(checkpoint.optimizerGroups[0]?.step ?? 0);
  return note;
}

function parse(path: string, text = 'null'): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damaged(path, error);
  }
}

function damaged(path: string, cause: unknown): SecateurError {
  return new SecateurError('INVALID_DATA', `Expected JSON in the properties of ${path}, got something else`, {
    path,
    cause,
  });
}

/** The mask, and the support that a projection by groups has left. */
function restoreBytes(
  { store, trainable }: Trainer,
  masks: readonly CheckpointTensor[],
  supports: readonly CheckpointTensor[],
): void {
  store.clearMask();
  if (masks.length > 0) {
    fill(store.maskViews(), trainable.parameters, masks);
    store.setMask('present');
  }
  if (supports.length > 0) fill(store.supportViews(), trainable.parameters, supports);
}

function tensorsOf(store: ParameterStore, list: readonly Shaped[]) {
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

/** Everything of the optimizer, of ADMM and of masks, a parameter at a time. */
function statesOf(store: ParameterStore, parameters: readonly Shaped[]): ParameterState[] {
  const views: [string, readonly (Float32Array | Uint8Array)[]][] = Object.entries(slots)
    .filter(([, slot]) => store.has(slot))
    .map(([key, slot]) => [key, store.views(slot)]);
  if (store.has('mask')) views.push([MASK, store.maskViews()]);
  if (store.has('support')) views.push([SUPPORT, store.supportViews()]);
  return parameters.map(({ name, shape }, index) => {
    const momentums = views.flatMap(([key, list]) => (list[index] ? [tensor(key, shape, list[index])] : []));
    return { parameter: name, momentums };
  });
}

function renamed({ parameter, momentums }: ParameterState, key: string): CheckpointTensor[] {
  return momentums.filter(({ name }) => name === key).map((found) => ({ ...found, name: parameter }));
}

function checkSizes(list: readonly Shaped[], tensors: readonly CheckpointTensor[]): void {
  for (const { name, shape } of list) {
    const found = tensors.find((candidate) => candidate.name === name);
    const bytes = found && found.dims.join() === shape.join() ? found.data.byteLength : undefined;
    const width = found?.dataType === FLOAT ? 4 : 1;
    const wanted = width * shape.reduce((product, size) => product * size, 1);
    // A support has no bytes of what is never pruned.
    if (bytes === wanted || (width === 1 && bytes === 0)) continue;
    const message = `Expected ${name} of shape [${shape.join(', ')}] in the checkpoint, got ${bytes ?? 'no'} bytes of it`;
    throw new SecateurError('INVALID_DATA', message, { tensor: name });
  }
}

/** Sizes are right: see checkSizes. */
function fill(
  views: readonly (Float32Array | Uint8Array)[],
  list: readonly { name: string }[],
  tensors: readonly CheckpointTensor[],
): void {
  const byName = new Map(tensors.map(({ name, data }) => [name, data]));
  for (const [index, { name }] of list.entries()) {
    const [view, data] = [views[index], byName.get(name)];
    if (view !== undefined && data !== undefined) {
      new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(data);
    }
  }
}

/** Tells models apart: the names and shapes of what is trained, what is pruned, what is frozen, and the loss. */
function fingerprint({ model, trainable }: Trainer): string {
  const { parameters, buffers, grouping, frozen, lossOptions } = trainable;
  const fixed = new Set(frozen);
  const hash = createHash('sha256');
  for (const { name, rawData } of model.graph?.initializer ?? [])
    if (fixed.has(name)) hash.update(name).update(rawData);
  const facts = [
    lossOptions,
    grouping?.granularity ?? 'weight',
    ...parameters.map(({ name, shape, prune }) => [name, shape, prune]),
    ...buffers.map(({ name, shape }) => [name, shape]),
  ];
  return hash.update(JSON.stringify(facts)).digest('hex');
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
