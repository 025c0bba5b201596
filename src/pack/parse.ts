// Finds the packed tensors of a model: the operators at the head of each graph, as many as the metadata say, must be
// instances of the templates. The file is untrusted: every constant and size is checked.

import { create } from '@bufbuild/protobuf';
import { SecateurError } from '../errors.js';
import type { NativeValueForm } from '../native/packing-contract.js';
import { elementType } from '../onnx/dtypes.js';
import { isStandard } from '../onnx/graph.js';
import {
  TensorProto_DataType as DataType,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  StringStringEntryProtoSchema,
  type TensorProto,
} from '../onnx/schema/onnx_pb.js';
import { shapeOf } from '../onnx/shape.js';
import type { StreamPositions } from './choose.js';
import { integersOf } from './integers.js';
import { graphsOf, SMALLEST_BYTES } from './survey.js';
import { constants, METADATA_KEY, positionSteps, type Step, valueSteps } from './templates.js';

/** A tensor in a stream. */
export interface PackedPart {
  value: string;
  shape: number[];
  /** Where its elements begin in the sequence. */
  first: number;
  elements: number;
}

/** A stream in a graph. */
export interface ParsedStream {
  positions: StreamPositions | 'zeros';
  form: NativeValueForm;
  /** Elements of the sequence. */
  length: number;
  /** `zeros` has none of these. */
  bytes: TensorProto | undefined;
  stored: TensorProto | undefined;
  codebook: TensorProto | undefined;
  /** The ConstantOfShape of `zeros`, whose attribute has the type. */
  node: NodeProto | undefined;
  parts: PackedPart[];
}

/** What unpacks the packed tensors of one graph. */
export interface Head {
  graph: GraphProto;
  /** How many operators, from the graph's first on. */
  nodes: number;
  streams: ParsedStream[];
  /** The initializers that only these operators use. */
  initializers: Set<TensorProto>;
}

/**
 * The heads of all graphs of a packed model; undefined for a model that is not packed.
 *
 * @throws SecateurError INVALID_MODEL where the operators are not those that packing writes.
 */
export function findPacked(model: ModelProto): Head[] | undefined {
  const entry = model.metadataProps.find(({ key }) => key === METADATA_KEY);
  if (entry === undefined) return undefined;
  const counts = entry.value.split(',').map((text) => (/^\d{1,9}$/.test(text) ? Number(text) : Number.NaN));
  const graphs = [...graphsOf(model.graph)];
  if (counts.length > graphs.length || counts.some(Number.isNaN))
    throw unsound(`counts of operators in ${METADATA_KEY}`);
  return graphs.map((graph, index) => new HeadParser(graph, counts[index] ?? 0).parse());
}

/** Whether `unpack` makes weights of the model dense: they are packed, or sparse initializers. */
export function isPacked(model: ModelProto): boolean {
  const sparse = [...graphsOf(model.graph)].some(({ sparseInitializer }) => sparseInitializer.length > 0);
  return sparse || model.metadataProps.some(({ key }) => key === METADATA_KEY);
}

/** Writes down how many operators unpack in each graph. */
export function noteHeads(model: ModelProto, counts: ReadonlyMap<GraphProto, number>): void {
  model.metadataProps = model.metadataProps.filter(({ key }) => key !== METADATA_KEY);
  const list = [...graphsOf(model.graph)].map((graph) => counts.get(graph) ?? 0);
  while (list.at(-1) === 0) list.pop();
  if (list.length === 0) return;
  model.metadataProps.push(create(StringStringEntryProtoSchema, { key: METADATA_KEY, value: list.join() }));
}

function unsound(expected: string): SecateurError {
  const advice = 'the file is damaged, or was changed after it was packed';
  return new SecateurError('INVALID_MODEL', `Expected the packed model to have ${expected}, got others: ${advice}`);
}

const floatTypes: readonly number[] = [DataType.FLOAT, DataType.FLOAT16, DataType.DOUBLE];
const forms = ['same', 'float16', 'codebook'] as const;
const kinds = ['gaps4', 'gaps8', 'mask', 'all'] as const;

class HeadParser {
  readonly #graph: GraphProto;
  readonly #count: number;
  readonly #tensors: Map<string, TensorProto>;
  readonly #used = new Set<TensorProto>();
  #at = 0;

  constructor(graph: GraphProto, count: number) {
    this.#graph = graph;
    this.#count = count;
    this.#tensors = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
    if (count > graph.node.length) throw unsound(`${count} operators that unpack it`);
  }

  parse(): Head {
    const streams: ParsedStream[] = [];
    while (this.#at < this.#count) streams.push(this.#zeros() ?? this.#stream());
    return { graph: this.#graph, nodes: this.#count, streams, initializers: this.#onlyHere() };
  }

  #zeros(): ParsedStream | undefined {
    const node = this.#graph.node[this.#at];
    const symbols = this.#match([{ opType: 'ConstantOfShape', inputs: ['shape'], output: 'flat' }]);
    if (symbols === undefined) return undefined;
    const shape = this.#integers(symbols.get('shape'));
    const { elements } = checkShape(shape);
    const part = { value: symbols.get('flat') ?? '', shape, first: 0, elements };
    const none = { bytes: undefined, stored: undefined, codebook: undefined };
    return { positions: 'zeros', form: 'same', length: elements, ...none, node, parts: [part] };
  }

  #stream(): ParsedStream {
    for (const positions of kinds) {
      for (const form of forms) {
        const symbols = this.#match([...valueSteps[form], ...positionSteps[positions]]);
        if (symbols !== undefined) return this.#resolve(positions, form, symbols);
      }
    }
    throw unsound('the operators that docs/pack.md lists at the head of its graph');
  }

  /** Names by symbol where the next operators are these steps, and moves on; undefined where they are not. */
  #match(steps: readonly Step[]): Map<string, string> | undefined {
    if (steps.length === 0 || this.#at + steps.length > this.#count) return undefined;
    const symbols = new Map<string, string>();
    for (const [index, step] of steps.entries()) {
      const node = this.#graph.node[this.#at + index];
      if (node === undefined || !isInstance(node, step) || !bind(node, step, symbols)) return undefined;
      symbols.set(step.output, node.output[0] ?? '');
    }
    if (steps.at(-1)?.output !== 'flat') symbols.set('flat', symbols.get('values') ?? '');
    this.#at += steps.length;
    return symbols;
  }

  #resolve(positions: StreamPositions, form: NativeValueForm, symbols: Map<string, string>): ParsedStream {
    for (const [symbol, expected] of Object.entries(constants[positions])) {
      const tensor = this.#tensor(symbols.get(symbol));
      const isSame =
        String(integersOf(tensor)) === String(expected.values) && tensor.dims.length === expected.dims.length;
      if (!isSame) throw unsound(`${expected.values.join(', ')} as its constant ${symbol}`);
    }
    const stored = this.#tensor(symbols.get(form === 'same' ? 'values' : 'stored'));
    const codebook = form === 'codebook' ? this.#tensor(symbols.get('codebook')) : undefined;
    const bytes = positions === 'all' ? undefined : this.#tensor(symbols.get('bytes'));
    checkTypes(form, stored, codebook, bytes);
    const length = this.#lengthOf(positions, symbols, stored, bytes);
    const flat = symbols.get('flat') ?? '';
    const whole = positions === 'all' ? shapeOf(stored, stored.name).dims : [length];
    return { positions, form, length, bytes, stored, codebook, node: undefined, parts: this.#cut(flat, length, whole) };
  }

  #lengthOf(
    positions: StreamPositions,
    symbols: Map<string, string>,
    stored: TensorProto,
    bytes: TensorProto | undefined,
  ): number {
    if (positions === 'all') return shapeOf(stored, stored.name).elements;
    if (positions === 'mask' && bytes !== undefined) return shapeOf(bytes, bytes.name).elements * 8;
    const length = this.#integers(symbols.get('length'));
    if (length.length !== 1) throw unsound('one number as the length of a stream');
    return checkShape(length).elements;
  }

  /** The Split after a stream, if there is one, and the Reshapes after that. */
  #cut(flat: string, length: number, whole: number[]): PackedPart[] {
    const node = this.#next('Split');
    if (node?.input[0] !== flat) return this.#reshaped([{ value: flat, shape: whole, first: 0, elements: length }]);
    this.#at++;
    const sizes = this.#integers(node.input[1]);
    if (sizes.length !== node.output.length || checkShape(sizes, 'sum').elements !== length) {
      throw unsound(`tensors of ${length} elements in a stream`);
    }
    let first = 0;
    const parts = node.output.map((value, index) => {
      const elements = sizes[index] ?? 0;
      const part = { value, shape: [elements], first, elements };
      first += elements;
      return part;
    });
    // What fills up the first or the last byte is no tensor.
    return this.#reshaped(parts.filter(({ elements }) => elements >= SMALLEST_BYTES / 8));
  }

  #reshaped(parts: PackedPart[]): PackedPart[] {
    for (const part of parts) {
      const node = this.#next('Reshape');
      if (node?.input[0] !== part.value) continue;
      this.#at++;
      part.value = node.output[0] ?? '';
      part.shape = this.#integers(node.input[1]);
      if (checkShape(part.shape).elements !== part.elements)
        throw unsound(`${part.elements} elements in ${part.value}`);
    }
    return parts;
  }

  #next(opType: string): NodeProto | undefined {
    const node = this.#at < this.#count ? this.#graph.node[this.#at] : undefined;
    return node !== undefined && isStandard(node) && node.opType === opType ? node : undefined;
  }

  #tensor(name: string | undefined): TensorProto {
    const tensor = this.#tensors.get(name ?? '');
    if (tensor === undefined) throw unsound(`an initializer ${name}`);
    this.#used.add(tensor);
    return tensor;
  }

  #integers(name: string | undefined): number[] {
    return integersOf(this.#tensor(name));
  }

  #onlyHere(): Set<TensorProto> {
    const others = new Set(namesUsed(this.#graph, this.#count));
    return new Set([...this.#used].filter(({ name }) => !others.has(name)));
  }
}

function isInstance(node: NodeProto, { opType, inputs, attributes = {} }: Step): boolean {
  const given = node.attribute.filter(({ name }) => !(opType === 'ConstantOfShape' && name === 'value'));
  return (
    isStandard(node) &&
    node.opType === opType &&
    node.input.length === inputs.length &&
    node.output.length === 1 &&
    given.length === Object.keys(attributes).length &&
    given.every(({ name, i }) => attributes[name] === Number(i)) &&
    (opType !== 'ConstantOfShape' || makesZeros(node))
  );
}

/** Without a value it makes float32. */
function makesZeros({ attribute }: NodeProto): boolean {
  return attribute.every(({ name, t }) => name !== 'value' || (t !== undefined && isZero(t)));
}

/** Whether a tensor is one zero of a type that is packed, and here in memory. */
function isZero({ dataType, dims, rawData, floatData, doubleData, int32Data }: TensorProto): boolean {
  const numbers = [...floatData, ...doubleData, ...int32Data];
  const width = elementType(dataType).bits / 8;
  return (
    floatTypes.includes(dataType) &&
    dims.every((dim) => dim === 1n) &&
    numbers.length * width + rawData.byteLength === width &&
    [...numbers, ...rawData].every((number) => Object.is(number, 0))
  );
}

/** Gives the symbols of a step's inputs the names of a node's, unless they have others. */
function bind(node: NodeProto, step: Step, symbols: Map<string, string>): boolean {
  return step.inputs.every((symbol, index) => {
    const name = node.input[index] ?? '';
    const known = symbols.get(symbol) ?? name;
    symbols.set(symbol, known);
    return known === name;
  });
}

function checkTypes(
  form: NativeValueForm,
  stored: TensorProto,
  codebook: TensorProto | undefined,
  bytes: TensorProto | undefined,
): void {
  const types: readonly number[] =
    form === 'same' ? floatTypes : [form === 'float16' ? DataType.FLOAT16 : DataType.UINT8];
  const sound =
    types.includes(stored.dataType) &&
    (codebook === undefined || codebook.dataType === DataType.FLOAT) &&
    (bytes === undefined || bytes.dataType === DataType.UINT8);
  if (!sound) throw unsound('streams of the types that docs/pack.md lists');
}

/** Sizes that memory could hold: the sum or the product is below 2^31, as packing writes them. */
function checkShape(dims: readonly number[], by: 'product' | 'sum' = 'product'): { elements: number } {
  const elements = dims.reduce((total, dim) => (by === 'sum' ? total + dim : total * dim), by === 'sum' ? 0 : 1);
  if (dims.some((dim) => !Number.isSafeInteger(dim) || dim < 0) || elements >= 2 ** 31) {
    throw unsound(`fewer than 2^31 elements in a stream (not [${dims.join(', ')}])`);
  }
  return { elements };
}

/** Values that the nodes of a graph from one on use, graphs inside them included, and its outputs. */
function* namesUsed(graph: GraphProto, from: number): Generator<string> {
  for (const { name } of graph.output) yield name;
  for (const { input, attribute } of graph.node.slice(from)) {
    yield* input;
    for (const { g, graphs } of attribute) {
      if (g !== undefined) yield* namesUsed(g, 0);
      for (const inner of graphs) yield* namesUsed(inner, 0);
    }
  }
}
