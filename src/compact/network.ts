// The main graph as values and nodes with rules. Says which atoms belong together; which of them are needed is for
// marks.ts, and changing the model for edit.ts.

import { intsAttribute, tensorAttribute } from '../onnx/attributes.js';
import { elementType } from '../onnx/dtypes.js';
import { decodeElements, type Elements } from '../onnx/elements.js';
import { isStandard } from '../onnx/graph.js';
import { contextOf, type Inferred } from '../onnx/infer/infer.js';
import type { Shape } from '../onnx/infer/shape.js';
import type { GraphProto, NodeProto, TensorProto } from '../onnx/schema/onnx_pb.js';
import { Atoms } from './atoms.js';
import { capturedNames } from './captured.js';
import type { Grouping } from './contraction.js';
import type { Channel, Couplings, NodeFacts } from './rule.js';
import { castsToFloat } from './rules/functions.js';
import { chooseRule } from './rules/index.js';
import { opaque } from './rules/opaque.js';
import type { ConstantData, Value } from './value.js';

/** Constants of at most so many elements stay decoded. */
const KEPT_ELEMENTS = 65536;
const UNKNOWN_LENGTH = 'coupled with an axis of unknown length';

export interface NetworkOptions {
  graph: GraphProto;
  inferred: Inferred;
  /** Initializers that a caller may replace at run time: they are inputs, not constants. */
  overridable: ReadonlySet<string>;
  /** Names of nodes; those that have none are added. */
  labels: Map<NodeProto, string>;
  grouping: Grouping;
  read(tensor: TensorProto): Uint8Array;
}

/** Values, nodes and the classes of atoms. */
export class Network implements Couplings {
  readonly grouping: Grouping;
  readonly atoms = new Atoms();
  readonly nodes: NodeFacts[] = [];
  /** Computed values and constants of more than one axis, by name. Constant vectors have a value for each use. */
  readonly values = new Map<string, Value>();
  readonly outputs: Value[] = [];
  readonly tensors = new Map<string, TensorProto>();
  readonly #options: NetworkOptions;
  readonly #data = new Map<string, ConstantData>();
  /** What the rule that couples at the moment has coupled. */
  readonly #coupled = new Set<Value>();

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.grouping = options.grouping;
    this.#givenValues(options);
    for (const [index, node] of options.graph.node.entries()) this.#node(node, index);
    this.outputs = options.graph.output.map(({ name }) => this.#reference(name));
    for (const node of this.nodes) this.#couple(node);
  }

  /** Joins two axes index by index. Where only one can shrink, it is pinned. */
  joinAxes(a: Value, axisA: number, b: Value, axisB: number): void {
    this.#coupled.add(a).add(b);
    const [firstA, firstB] = [a.atoms[axisA] ?? -1, b.atoms[axisB] ?? -1];
    const length = this.length(a, axisA);
    if (firstA >= 0 && firstB >= 0 && length === this.length(b, axisB)) {
      for (let index = 0; index < length; index++) this.atoms.join(firstA + index, firstB + index);
      return;
    }
    this.pinAxis(a, axisA, UNKNOWN_LENGTH);
    this.pinAxis(b, axisB, UNKNOWN_LENGTH);
  }

  join([a, axisA, indexA]: Channel, [b, axisB, indexB]: Channel): void {
    this.#coupled.add(a).add(b);
    const [firstA, firstB] = [a.atoms[axisA] ?? -1, b.atoms[axisB] ?? -1];
    if (firstA >= 0 && firstB >= 0) this.atoms.join(firstA + indexA, firstB + indexB);
    else if (firstA >= 0) this.atoms.pin(firstA + indexA, UNKNOWN_LENGTH);
    else if (firstB >= 0) this.atoms.pin(firstB + indexB, UNKNOWN_LENGTH);
  }

  /** Makes all of an axis one class: it goes as a whole or not at all. */
  joinWhole(value: Value, axis: number): void {
    this.#coupled.add(value);
    const first = value.atoms[axis] ?? -1;
    for (let index = 1; index < this.length(value, axis); index++) this.atoms.join(first, first + index);
  }

  pinAxis(value: Value, axis: number, reason: string): void {
    this.#coupled.add(value);
    const first = value.atoms[axis] ?? -1;
    if (first < 0) return;
    for (let index = 0; index < this.length(value, axis); index++) this.atoms.pin(first + index, reason);
  }

  pin(value: Value, reason: string): void {
    for (const axis of value.atoms.keys()) this.pinAxis(value, axis, reason);
  }

  isPinned(value: Value, axis: number): boolean {
    const first = value.atoms[axis] ?? -1;
    if (first < 0) return true;
    return Array.from({ length: this.length(value, axis) }, (_, index) => first + index).every(
      (atom) => this.atoms.pinOf(atom) !== undefined,
    );
  }

  /** The length of an axis that can shrink, else 0. */
  length(value: Value, axis: number): number {
    const dim = value.shape?.[axis];
    return typeof dim === 'number' && (value.atoms[axis] ?? -1) >= 0 ? dim : 0;
  }

  /** Whether the graph reads an initializer or a Constant. */
  isUsed(tensor: string): boolean {
    return (this.#data.get(tensor)?.uses ?? 0) > 0;
  }

  literal(rank: number, axis: number, numbers: Float64Array, type: number): Value {
    const shape = Array.from({ length: rank }, (_, at) => (at === axis ? numbers.length : 1));
    const constants = shape.map((_, at) => (at === axis ? numbers : undefined));
    const atoms = shape.map((_, at) => (at === axis ? this.atoms.add(numbers.length) : -1));
    return { name: '', shape, type, atoms, constants, constant: true, data: undefined, literalAxis: axis };
  }

  /** A new value. Its axes can shrink where their length is known. */
  make(
    fields: Pick<Value, 'name' | 'shape' | 'type'> & Partial<Pick<Value, 'constant' | 'data' | 'constants'>>,
  ): Value {
    const { name, shape, type, constant = false, data, constants = [] } = fields;
    const atoms = (shape ?? []).map((dim) => (typeof dim === 'number' && dim > 0 ? this.atoms.add(dim) : -1));
    return { name, shape, type, atoms, constants, constant, data };
  }

  #givenValues({ graph, overridable }: NetworkOptions): void {
    for (const tensor of graph.initializer) if (!overridable.has(tensor.name)) this.tensors.set(tensor.name, tensor);
    for (const { name } of graph.input) if (!this.tensors.has(name)) this.#pinned(name, 'a channel of a graph input');
    for (const { values } of graph.sparseInitializer) this.#pinned(values?.name ?? '', 'stored as a sparse tensor');
  }

  #pinned(name: string, reason: string): void {
    const value = this.#named(name, false, undefined);
    this.values.set(name, value);
    this.pin(value, reason);
  }

  #named(name: string, constant: boolean, data: ConstantData | undefined): Value {
    const { shapes, types } = this.#options.inferred;
    return this.make({ name, shape: shapes.get(name), type: types.get(name) ?? 0, constant, data });
  }

  #couple(node: NodeFacts): void {
    this.#coupled.clear();
    node.rule.couple(node, this);
    const given = node.inputs.filter((input) => input !== undefined);
    node.parameters = given.filter((input) => !this.#coupled.has(input));
  }

  /** The value that a use of a name stands for. */
  #reference(name: string): Value {
    const tensor = this.tensors.get(name);
    const data = tensor && this.#dataOf(name, tensor);
    if (data !== undefined) data.uses += 1;
    const known = this.values.get(name);
    if (known !== undefined) return known;
    const value = this.#named(name, data !== undefined, data);
    if (tensor !== undefined && !hasWholeBytes(tensor)) this.pin(value, 'its elements are not whole bytes');
    // Exporters store equal vectors once; one channel fewer in one layer must not touch the others.
    if (tensor === undefined || !isVector(value.shape ?? [])) this.values.set(name, value);
    return value;
  }

  #dataOf(name: string, tensor: TensorProto): ConstantData {
    const known = this.#data.get(name);
    if (known !== undefined) return known;
    const { read } = this.#options;
    const keep = tensor.dims.reduce((product, dim) => product * Number(dim), 1) <= KEPT_ELEMENTS;
    let kept: Elements | undefined;
    const elements = (): Elements | undefined => {
      const found = kept ?? (hasWholeBytes(tensor) ? decodeElements(tensor.dataType, read(tensor)) : undefined);
      if (keep) kept = found;
      return found;
    };
    const permutation = tensor.dims.map((_, axis) => axis);
    const data: ConstantData = { tensor, permutation, direct: true, uses: 0, elements };
    this.#data.set(name, data);
    return data;
  }

  #node(proto: NodeProto, index: number): void {
    const constant = isStandard(proto) && proto.opType === 'Constant' ? tensorAttribute(proto, 'value') : undefined;
    if (constant !== undefined) {
      this.tensors.set(proto.output[0] ?? '', constant);
      return;
    }
    const inputs = proto.input.map((name) => (name === '' ? undefined : this.#reference(name)));
    const captured = capturedNames(proto).map((name) => this.#reference(name));
    const known = [...inputs, ...captured].every((value) => value?.constant !== false);
    const data = handedOn(proto, inputs[0]?.data);
    const outputs = proto.output.map((name) => (name === '' ? undefined : this.#named(name, known, data)));
    for (const output of outputs) if (output !== undefined) this.values.set(output.name, output);
    const { labels } = this.#options;
    const label = labels.get(proto) ?? (proto.name === '' ? `${proto.opType.toLowerCase()}_${index}` : proto.name);
    labels.set(proto, label);
    const context = contextOf(this.#options.inferred, proto);
    const facts: NodeFacts = { proto, label, context, inputs, outputs, captured, rule: opaque, parameters: [] };
    facts.rule = chooseRule(facts);
    facts.rule.constants?.(facts);
    this.nodes.push(facts);
  }
}

/** At most one axis is longer than one. */
function isVector(shape: Shape): boolean {
  return shape.filter((dim) => dim !== 1).length <= 1;
}

function hasWholeBytes(tensor: TensorProto): boolean {
  const { bits } = elementType(tensor.dataType);
  return bits > 0 && bits % 8 === 0;
}

/** Weights are often seen through a Transpose or a Cast. */
function handedOn(node: NodeProto, data: ConstantData | undefined): ConstantData | undefined {
  if (data === undefined || !isStandard(node)) return undefined;
  const { permutation } = data;
  switch (node.opType) {
    case 'Identity':
      return { ...data, direct: false };
    case 'Cast':
      return castsToFloat(node) ? { ...data, direct: false } : undefined;
    case 'Transpose': {
      const order = intsAttribute(node, 'perm') ?? permutation.map((_, axis) => permutation.length - 1 - axis);
      return { ...data, permutation: order.map((axis) => permutation[axis] ?? 0), direct: false };
    }
    default:
      return undefined;
  }
}
