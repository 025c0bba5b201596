// Collects the changes that rules make to nodes: attributes at once, new constants and new nodes for assemble.ts, and
// what is to be done to the tensors that nodes read.
import { create } from '@bufbuild/protobuf';
import { NameTable } from '../onnx/build/names.js';
import { tensor } from '../onnx/build/tensors.js';
import { encodeFloats } from '../onnx/elements.js';
import {
  type GraphProto,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from '../onnx/schema/onnx_pb.js';
import type { Marks } from './marks.js';
import type { ColumnMerge, NodeFacts, Rewriter } from './rule.js';
import type { TensorChange } from './slice.js';
import { lengthOf, type Value } from './value.js';

/** The changes to one model. */
export class Edit implements Rewriter {
  readonly names = new NameTable();
  /** New initializers. */
  readonly tensors: TensorProto[] = [];
  /** New nodes, by the node that they follow. */
  readonly following = new Map<NodeProto, NodeProto>();
  readonly #marks: Marks;
  readonly #addends = new Map<Value, Float64Array>();
  readonly #merges = new Map<Value, ColumnMerge>();

  constructor(graph: GraphProto, marks: Marks) {
    this.names.reserve(graph);
    this.#marks = marks;
  }

  isLive(value: Value, axis: number, index: number): boolean {
    return this.#marks.isLive(value, axis, index);
  }

  isValueLive(value: Value): boolean {
    return this.#marks.isValueLive(value);
  }

  kept(value: Value, axis: number): readonly number[] | undefined {
    return this.#marks.kept(value, axis);
  }

  countKept(value: Value, axis: number, from: number, to: number): number {
    let count = 0;
    for (let index = from; index < to; index++) if (this.isLive(value, axis, index)) count += 1;
    return count;
  }

  carrierOf(value: Value, axis: number): number {
    return this.#marks.carrierOf(value, axis);
  }

  setIntegers(node: NodeFacts, input: number, name: string, values: readonly number[]): void {
    const data = BigInt64Array.from(values, BigInt);
    this.#setInput(node, input, tensor(this.names.fresh(`${node.label}/${name}`), [values.length], data));
  }

  addToVector(node: NodeFacts, input: number, addend: Float64Array, type: number): void {
    const vector = node.inputs[input];
    if (vector !== undefined) this.#addends.set(vector, addend);
    else this.#setInput(node, input, this.#floats(`${node.label}/bias`, this.#keptNumbers(node, addend), type));
  }

  addAfter(node: NodeFacts, addend: Float64Array, type: number): void {
    const [output = ''] = node.proto.output;
    const inner = this.names.fresh(`${output}/folded`);
    const bias = this.#floats(`${node.label}/bias`, this.#keptNumbers(node, addend), type);
    this.tensors.push(bias);
    node.proto.output[0] = inner;
    const name = this.names.fresh(`${node.label}/add`);
    const add = { name, opType: 'Add', input: [inner, bias.name], output: [output] };
    this.following.set(node.proto, create(NodeProtoSchema, add));
  }

  mergeColumns(node: NodeFacts, merge: ColumnMerge): void {
    const weight = node.contraction?.w;
    if (weight !== undefined) this.#merges.set(weight, merge);
  }

  /** Puts the constants that rules have chosen for inputs into the model. */
  materializeLiterals(node: NodeFacts): void {
    for (const [input, value] of node.inputs.entries()) {
      const axis = value?.literalAxis;
      if (value === undefined || axis === undefined) continue;
      const kept = this.kept(value, axis);
      const numbers = value.constants[axis] ?? new Float64Array(0);
      const left = kept === undefined ? numbers : Float64Array.from(kept, (index) => numbers[index] ?? 0);
      // Of two constants, which may be shorter than the result, both stay.
      const alone = node.inputs[1 - input]?.literalAxis === undefined;
      if (alone && node.proto.opType === 'Add' && left.every((number) => number === 0)) {
        handOn(node, 1 - input);
        return;
      }
      const made = this.#floats(`${node.label}/constant`, left, value.type);
      made.dims = (value.shape ?? []).map((_, at) => BigInt(at === axis ? left.length : 1));
      this.#setInput(node, input, made);
    }
  }

  /** What is to be done to the tensor behind a value. */
  changeOf(value: Value): TensorChange {
    const kept = value.atoms.map((_, axis) => this.kept(value, axis));
    return { kept, addend: this.#addends.get(value), merge: this.#merges.get(value) };
  }

  #setInput(node: NodeFacts, input: number, made: TensorProto): void {
    this.tensors.push(made);
    while (node.proto.input.length < input) node.proto.input.push('');
    node.proto.input[input] = made.name;
    node.inputs[input] = undefined;
  }

  #keptNumbers(node: NodeFacts, numbers: Float64Array): Float64Array {
    const out = node.outputs[0];
    const axis = node.contraction?.outAxis ?? 0;
    if (out === undefined) return numbers;
    const kept = this.kept(out, axis);
    return kept === undefined
      ? numbers.slice(0, lengthOf(out, axis))
      : Float64Array.from(kept, (index) => numbers[index] ?? 0);
  }

  #floats(name: string, numbers: Float64Array, dataType: number): TensorProto {
    const rawData = encodeFloats(dataType, numbers) ?? new Uint8Array(0);
    return create(TensorProtoSchema, {
      name: this.names.fresh(name),
      dims: [BigInt(numbers.length)],
      dataType,
      rawData,
    });
  }
}

/** Adding zeros: the runtime removes an Identity, but computes an Add. */
function handOn({ proto, inputs }: NodeFacts, input: number): void {
  proto.opType = 'Identity';
  proto.attribute = [];
  proto.input = proto.input.slice(input, input + 1);
  inputs.splice(0, inputs.length, inputs[input]);
}
