// A checkpoint as the bytes of a file of version 2, as ONNX Runtime 1.19 and later read it. Data of more than 1.8 GB does
// not fit into a FlatBuffer: it is planned into a second file here, at the places that the first one names.

import { Builder } from 'flatbuffers';
import {
  bagSlots,
  checkpointSlots,
  groupSlots,
  IDENTIFIER,
  moduleSlots,
  NOT_EXTERNAL,
  propertySlots,
  slotCount,
  stateSlots,
  tensorSlots,
  VERSION,
} from './slots.js';
import type { Checkpoint, CheckpointTensor, OptimizerGroup, Property } from './types.js';

/** Where ONNX Runtime begins to put data beside the checkpoint. */
export const DEFAULT_EXTERNAL_ABOVE_BYTES = 1800 * 1024 * 1024;
/** Smaller tensors stay in the checkpoint. */
const MIN_EXTERNAL_BYTES = 64;
const STRING_TYPE = 8;
const WIDE_TYPES = [7, 11];

/** A position in a file under construction; 0 is "none". */
type Offset = number;

/** What {@link encodeCheckpoint} makes. */
export interface EncodedCheckpoint {
  /** The checkpoint file. */
  bytes: Uint8Array;
  /** The pieces of the file of external data, one after the other; none where there is no such file. */
  external: Uint8Array[];
}

/**
 * Encodes a checkpoint. Its `version` does not matter: version 2 is written.
 *
 * @param externalAbove if the tensors have more bytes than this, they go to the external pieces. At most the default.
 */
export function encodeCheckpoint(
  checkpoint: Checkpoint,
  externalAbove: number = DEFAULT_EXTERNAL_ABOVE_BYTES,
): EncodedCheckpoint {
  const bytes = allTensors(checkpoint).reduce((sum, { data }) => sum + data.length, 0);
  const encoder = new Encoder(bytes > Math.min(externalAbove, DEFAULT_EXTERNAL_ABOVE_BYTES));
  return { bytes: encoder.encode(checkpoint), external: encoder.external };
}

function allTensors({ trainable, frozen, optimizerGroups }: Checkpoint): CheckpointTensor[] {
  const momentums = optimizerGroups.flatMap(({ states }) => states.flatMap((state) => state.momentums));
  return [...trainable, ...frozen, ...momentums];
}

class Encoder {
  readonly external: Uint8Array[] = [];
  readonly #builder = new Builder(1024);
  readonly #externalData: boolean;
  #externalBytes = 0;

  constructor(externalData: boolean) {
    this.#externalData = externalData;
  }

  encode({ trainable, frozen, nominal, optimizerGroups, properties }: Checkpoint): Uint8Array {
    const builder = this.#builder;
    const trainables = this.#tables(trainable.map((tensor) => this.#tensor(tensor)));
    const frozens = this.#tables(frozen.map((tensor) => this.#tensor(tensor)));
    builder.startObject(slotCount(moduleSlots));
    builder.addFieldOffset(moduleSlots.trainable, trainables, 0);
    builder.addFieldOffset(moduleSlots.frozen, frozens, 0);
    builder.addFieldInt8(moduleSlots.nominal, nominal ? 1 : 0, 0);
    builder.addFieldInt8(moduleSlots.external, this.#externalData ? 1 : 0, 0);
    const module = builder.endObject();
    const groups = this.#tables(optimizerGroups.map((group) => this.#group(group)));
    const bag = this.#bag(properties);
    builder.startObject(slotCount(checkpointSlots));
    builder.addFieldInt32(checkpointSlots.version, VERSION, 0);
    builder.addFieldOffset(checkpointSlots.moduleState, module, 0);
    builder.addFieldOffset(checkpointSlots.optimizerGroups, groups, 0);
    builder.addFieldOffset(checkpointSlots.propertyBag, bag, 0);
    builder.finish(builder.endObject(), IDENTIFIER);
    return builder.asUint8Array();
  }

  #tensor(tensor: CheckpointTensor): Offset {
    const builder = this.#builder;
    const { name, dims, dataType, strings, docString = '' } = tensor;
    const externalAt = this.#placeExternally(tensor);
    const text = strings && this.#tables(strings.map((value) => builder.createString(value)));
    const data = dataType === STRING_TYPE || externalAt !== NOT_EXTERNAL ? 0 : this.#bytes(tensor.data);
    const doc = docString === '' ? 0 : builder.createString(docString);
    const title = builder.createSharedString(name);
    builder.startVector(8, dims.length, 8);
    for (const size of dims.toReversed()) builder.addInt64(BigInt(size));
    const shape = builder.endVector();
    builder.startObject(slotCount(tensorSlots));
    builder.addFieldOffset(tensorSlots.name, title, 0);
    builder.addFieldOffset(tensorSlots.docString, doc, 0);
    builder.addFieldOffset(tensorSlots.dims, shape, 0);
    builder.addFieldInt32(tensorSlots.dataType, dataType, 0);
    builder.addFieldOffset(tensorSlots.rawData, data, 0);
    builder.addFieldOffset(tensorSlots.stringData, text ?? 0, 0);
    builder.addFieldInt64(tensorSlots.externalOffset, externalAt, NOT_EXTERNAL);
    return builder.endObject();
  }

  /** Bytes whose first one is at a multiple of 8, so that any element type can be read in place. */
  #bytes(data: Uint8Array): Offset {
    this.#builder.prep(8, data.length);
    return this.#builder.createByteVector(data);
  }

  /** Appends the tensor to the external pieces if it belongs there; returns its position. */
  #placeExternally({ dataType, data }: CheckpointTensor): bigint {
    if (!this.#externalData || dataType === STRING_TYPE || data.length < MIN_EXTERNAL_BYTES) return NOT_EXTERNAL;
    const alignment = WIDE_TYPES.includes(dataType) ? 8 : 4;
    const padding = (alignment - (this.#externalBytes % alignment)) % alignment;
    if (padding > 0) this.external.push(new Uint8Array(padding));
    const at = this.#externalBytes + padding;
    this.external.push(data);
    this.#externalBytes = at + data.length;
    return BigInt(at);
  }

  #group({ name, step, initialLearningRate, states }: OptimizerGroup): Offset {
    const builder = this.#builder;
    const offsets = states.map(({ parameter, momentums }) => {
      const tensors = this.#tables(momentums.map((momentum) => this.#tensor(momentum)));
      const title = builder.createSharedString(parameter);
      builder.startObject(slotCount(stateSlots));
      builder.addFieldOffset(stateSlots.parameter, title, 0);
      builder.addFieldOffset(stateSlots.momentums, tensors, 0);
      return builder.endObject();
    });
    const vector = this.#tables(offsets);
    const title = builder.createString(name);
    builder.startObject(slotCount(groupSlots));
    builder.addFieldOffset(groupSlots.name, title, 0);
    builder.addFieldInt64(groupSlots.step, BigInt(step), 0n);
    builder.addFieldFloat32(groupSlots.initialLearningRate, initialLearningRate, 0);
    builder.addFieldOffset(groupSlots.states, vector, 0);
    return builder.endObject();
  }

  #bag(properties: readonly Property[]): Offset {
    const of = (kind: Property['kind']) =>
      this.#tables(properties.filter((property) => property.kind === kind).map((property) => this.#property(property)));
    const [ints, floats, strings] = [of('int'), of('float'), of('string')];
    this.#builder.startObject(slotCount(bagSlots));
    this.#builder.addFieldOffset(bagSlots.ints, ints, 0);
    this.#builder.addFieldOffset(bagSlots.floats, floats, 0);
    this.#builder.addFieldOffset(bagSlots.strings, strings, 0);
    return this.#builder.endObject();
  }

  #property(property: Property): Offset {
    const builder = this.#builder;
    const name = builder.createString(property.name);
    const text = property.kind === 'string' ? builder.createString(property.value) : 0;
    builder.startObject(slotCount(propertySlots));
    builder.addFieldOffset(propertySlots.name, name, 0);
    if (property.kind === 'int') builder.addFieldInt64(propertySlots.value, property.value, 0n);
    if (property.kind === 'float') builder.addFieldFloat32(propertySlots.value, property.value, 0);
    if (property.kind === 'string') builder.addFieldOffset(propertySlots.value, text, 0);
    return builder.endObject();
  }

  /** A vector of offsets, in order; a FlatBuffer is written backwards. */
  #tables(offsets: readonly Offset[]): Offset {
    this.#builder.startVector(4, offsets.length, 4);
    for (const offset of offsets.toReversed()) this.#builder.addOffset(offset);
    return this.#builder.endVector();
  }
}
