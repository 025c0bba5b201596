// A checkpoint from the bytes of its file: versions 1 and 2, data in the file or beside it. Everything that the file says
// about lengths is checked before it is believed.

import { SecateurError } from '../../errors.js';
import { elementType, rawBytes } from '../../onnx/dtypes.js';
import { FlatReader, type Position } from './flat-reader.js';
import {
  bagSlots,
  checkpointSlots,
  groupSlots,
  IDENTIFIER,
  moduleSlots,
  NOT_EXTERNAL,
  propertySlots,
  stateSlots,
  tensorSlots,
  VERSION,
} from './slots.js';
import type { Checkpoint, CheckpointTensor, OptimizerGroup, Property } from './types.js';

/** Reads `bytes` bytes from `offset` on of the file of external data. Throws where they are not all there. */
export type ExternalReader = (offset: number, bytes: number, tensor: string) => Uint8Array;

const STRING_TYPE = 8;
/** No library makes tensors of more dimensions. */
const MAX_RANK = 64;

/**
 * Decodes a checkpoint. Tensors are views of `bytes`.
 *
 * @param path for error messages.
 * @param external reads data beside the checkpoint; without it a checkpoint that has such data is refused.
 * @throws SecateurError INVALID_DATA where it is no checkpoint, truncated or damaged; UNSUPPORTED for other versions;
 *   EXTERNAL_DATA.
 */
export function decodeCheckpoint(bytes: Uint8Array, path = 'the checkpoint', external?: ExternalReader): Checkpoint {
  const reader = new FlatReader(bytes, path);
  const identifier = String.fromCharCode(...bytes.subarray(4, 8));
  if (bytes.length < 8 || identifier !== IDENTIFIER) {
    throw reader.fail(`the identifier ${IDENTIFIER} is not at its byte 4`);
  }
  const root = reader.root();
  const version = reader.int32(root, checkpointSlots.version);
  if (version < 1 || version > VERSION) {
    const message = `Expected ${path} to be a training checkpoint of version 1 or ${VERSION}, got version ${version}`;
    throw new SecateurError('UNSUPPORTED', message, { path, expected: `1 or ${VERSION}`, actual: String(version) });
  }
  const module = reader.table(root, checkpointSlots.moduleState);
  const decoder = new Decoder(reader, path, external);
  if (module !== undefined) {
    decoder.nominal = reader.bool(module, moduleSlots.nominal);
    decoder.hasExternal = reader.bool(module, moduleSlots.external);
  }
  const checkpoint: Checkpoint = {
    version,
    trainable: module === undefined ? [] : decoder.tensors(module, moduleSlots.trainable),
    frozen: module === undefined ? [] : decoder.tensors(module, moduleSlots.frozen),
    nominal: decoder.nominal,
    optimizerGroups: decoder.groups(root),
    properties: decoder.properties(root),
  };
  checkNames(checkpoint, reader);
  return checkpoint;
}

/** Tensors are found by name, so a name twice would lose one of them. */
function checkNames({ trainable, frozen }: Checkpoint, reader: FlatReader): void {
  const seen = new Set<string>();
  for (const { name } of [...trainable, ...frozen]) {
    if (name === '') throw reader.fail('it has a parameter without a name');
    if (seen.has(name)) throw reader.fail(`it has the parameter ${JSON.stringify(name)} twice`);
    seen.add(name);
  }
}

class Decoder {
  nominal = false;
  hasExternal = false;
  readonly #reader: FlatReader;
  readonly #path: string;
  readonly #external: ExternalReader | undefined;

  constructor(reader: FlatReader, path: string, external: ExternalReader | undefined) {
    this.#reader = reader;
    this.#path = path;
    this.#external = external;
  }

  tensors(table: Position, slot: number): CheckpointTensor[] {
    return Array.from(this.#reader.tables(table, slot), (tensor) => this.#tensor(tensor));
  }

  groups(root: Position): OptimizerGroup[] {
    const reader = this.#reader;
    return Array.from(reader.tables(root, checkpointSlots.optimizerGroups), (group) => ({
      name: reader.string(group, groupSlots.name),
      step: this.#step(reader.int64(group, groupSlots.step)),
      initialLearningRate: reader.float32(group, groupSlots.initialLearningRate),
      states: Array.from(reader.tables(group, groupSlots.states), (state) => ({
        parameter: reader.string(state, stateSlots.parameter),
        momentums: this.tensors(state, stateSlots.momentums),
      })),
    }));
  }

  properties(root: Position): Property[] {
    const reader = this.#reader;
    const bag = reader.table(root, checkpointSlots.propertyBag);
    if (bag === undefined) return [];
    const { name, value } = propertySlots;
    const ints = Array.from(reader.tables(bag, bagSlots.ints), (at): Property => {
      return { kind: 'int', name: reader.string(at, name), value: reader.int64(at, value) };
    });
    const floats = Array.from(reader.tables(bag, bagSlots.floats), (at): Property => {
      return { kind: 'float', name: reader.string(at, name), value: reader.float32(at, value) };
    });
    const strings = Array.from(reader.tables(bag, bagSlots.strings), (at): Property => {
      return { kind: 'string', name: reader.string(at, name), value: reader.string(at, value) };
    });
    return [...ints, ...floats, ...strings];
  }

  #step(step: bigint): number {
    if (step >= 0n && step <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(step);
    throw this.#reader.fail(`it is damaged: its optimizer has taken ${step} steps`);
  }

  #tensor(table: Position): CheckpointTensor {
    const reader = this.#reader;
    const name = reader.string(table, tensorSlots.name);
    const dims = reader.int64s(table, tensorSlots.dims, MAX_RANK).map((size) => this.#dimension(size, name));
    const dataType = reader.int32(table, tensorSlots.dataType);
    const docString = reader.string(table, tensorSlots.docString);
    const strings = reader.strings(table, tensorSlots.stringData);
    const elements = dims.reduce((product, size) => product * size, 1);
    const tensor: CheckpointTensor = { name, dims, dataType, data: reader.bytes(table, tensorSlots.rawData) };
    if (docString !== '') tensor.docString = docString;
    if (strings !== undefined) tensor.strings = strings;
    if (dataType === STRING_TYPE) {
      this.#expectLength(name, 'strings', strings?.length ?? 0, elements);
      return tensor;
    }
    const { bits, name: typeName } = elementType(dataType);
    if (bits === 0) throw reader.fail(`its tensor ${JSON.stringify(name)} has the unknown ${typeName}`);
    const wanted = rawBytes(elements, bits);
    const offset = reader.int64(table, tensorSlots.externalOffset, NOT_EXTERNAL);
    if (this.hasExternal && offset >= 0n) tensor.data = this.#readExternal(offset, wanted, name);
    // Tensors of a nominal checkpoint are scalars in name only.
    else if (!(this.nominal && tensor.data.length === 0)) {
      this.#expectLength(name, 'bytes', tensor.data.length, wanted);
    }
    return tensor;
  }

  #dimension(size: bigint, tensor: string): number {
    if (size >= 0n && size <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(size);
    throw this.#reader.fail(`it is damaged: its tensor ${JSON.stringify(tensor)} has a dimension of ${size}`);
  }

  #expectLength(tensor: string, unit: string, actual: number, expected: number): void {
    if (actual === expected) return;
    const problem = `its tensor ${JSON.stringify(tensor)} has ${actual} ${unit} of data where its shape wants ${expected}`;
    throw this.#reader.fail(`it is damaged: ${problem}`);
  }

  #readExternal(offset: bigint, bytes: number, tensor: string): Uint8Array {
    if (offset > BigInt(Number.MAX_SAFE_INTEGER) || !Number.isSafeInteger(bytes)) {
      throw this.#reader.fail(`it is damaged: the data of ${JSON.stringify(tensor)} begins at ${offset}`);
    }
    if (this.#external) return this.#external(Number(offset), bytes, tensor);
    throw new SecateurError(
      'EXTERNAL_DATA',
      `Expected ${this.#path} to hold its data, but ${JSON.stringify(tensor)} is in a file beside it: read it by its path`,
      { path: this.#path, tensor },
    );
  }
}
