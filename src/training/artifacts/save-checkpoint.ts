// What training has come to, as a checkpoint of ONNX Runtime: parameters, running statistics, and the optimizer's state.
import { SecateurError } from '../../errors.js';
import { writeCheckpoint } from '../checkpoint/files.js';
import type { Checkpoint, CheckpointTensor, ParameterState, Property } from '../checkpoint/types.js';
import type { Trainer } from '../trainer.js';
import { GROUP, momentumName } from './names.js';

export interface SaveCheckpointOptions {
  /** Free values that go into the file. @default none */
  properties?: readonly Property[];
  /** What `openArtifacts` goes on with; ONNX Runtime 1.19.2 was seen to begin with 0.001 all the same. @default the trainer's rate where it is a number */
  learningRate?: number;
}

/**
 * Writes a checkpoint of version 2, atomically, that fits the artifacts which the trainer was opened from or which
 * `writeArtifacts` makes of its model.
 *
 * @throws SecateurError IO; INVALID_OPTION where the learning rate is a schedule and none is given.
 */
export async function saveCheckpoint(
  path: string,
  trainer: Trainer,
  options: SaveCheckpointOptions = {},
): Promise<void> {
  await writeCheckpoint(path, checkpointOf(trainer, options));
}

function checkpointOf(trainer: Trainer, { properties = [], learningRate }: SaveCheckpointOptions): Checkpoint {
  const { trainable, store, buffers } = trainer;
  const rate = learningRate ?? trainer.options.optimizer.learningRate;
  if (typeof rate !== 'number') {
    throw new SecateurError(
      'INVALID_OPTION',
      'Expected learningRate for the checkpoint, since the trainer has a schedule',
    );
  }
  const frozen = new Set(trainable.frozen);
  const others = trainer.model.graph?.initializer.filter(({ name }) => frozen.has(name)) ?? [];
  return {
    version: 2,
    trainable: tensors(trainable.parameters, store.views('parameters')),
    frozen: [
      ...tensors(trainable.buffers, buffers.views('parameters')),
      ...others.map(({ name, dims, dataType, rawData }) => ({ name, dims: dims.map(Number), dataType, data: rawData })),
    ],
    nominal: false,
    optimizerGroups: [{ name: GROUP, step: trainer.steps, initialLearningRate: rate, states: states(trainer) }],
    properties: [...properties],
  };
}

type Named = readonly { readonly name: string; readonly shape: readonly number[] }[];

function tensors(list: Named, views: readonly Float32Array[]): CheckpointTensor[] {
  return list.map(({ name, shape }, index) => float32(name, shape, views[index] ?? new Float32Array(0)));
}

function float32(name: string, dims: readonly number[], view: Float32Array): CheckpointTensor {
  return { name, dims: [...dims], dataType: 1, data: new Uint8Array(view.buffer, view.byteOffset, view.byteLength) };
}

/** The official runtime wants the momenta of all parameters or none. */
function states({ trainable, store }: Trainer): ParameterState[] {
  const momenta = (['firstMoment', 'secondMoment'] as const).flatMap((slot) =>
    store.has(slot) ? [store.views(slot)] : [],
  );
  if (momenta.length === 0) return [];
  return trainable.parameters.map(({ name, shape }, index) => ({
    parameter: name,
    momentums: momenta.map((views, order) => float32(momentumName(order), shape, views[index] ?? new Float32Array(0))),
  }));
}
