// Puts the operators that unpack streams into a graph, with as few bytes as ONNX allows: short names of values, no names
// of operators, constants shared by all streams of the graph.
import { create } from '@bufbuild/protobuf';
import type { NativePackedStream } from '../native/packing-contract.js';
import { attribute } from '../onnx/build/attributes.js';
import type { NameTable } from '../onnx/build/names.js';
import {
  TensorProto_DataType as DataType,
  type GraphProto,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from '../onnx/schema/onnx_pb.js';
import type { Group, Measured } from './choose.js';
import type { PackType } from './survey.js';
import { constants, type IntegerConstant, PADDING, positionSteps, type Step, valueSteps } from './templates.js';

const elementTypes: Readonly<Record<PackType, { type: DataType; bytes: number }>> = {
  float16: { type: DataType.FLOAT16, bytes: 2 },
  float32: { type: DataType.FLOAT, bytes: 4 },
  float64: { type: DataType.DOUBLE, bytes: 8 },
};

const storedTypes = { float16: elementTypes.float16, codebook: { type: DataType.UINT8, bytes: 1 } } as const;

/** What unpacks the packed tensors of one graph. */
export class Emitter {
  readonly graph: GraphProto;
  /** In the order that they must run. */
  readonly nodes: NodeProto[] = [];
  /** Payloads are in their raw data. */
  readonly initializers: TensorProto[] = [];
  readonly #names: ShortNames;
  readonly #constants = new Map<string, string>();
  readonly #codebooks = new Map<Float32Array, string>();

  constructor(graph: GraphProto, names: ShortNames) {
    this.graph = graph;
    this.#names = names;
  }

  /** Adds a stream; its tensors come out under their own names. */
  group(group: Group, stream: NativePackedStream, codebook: string | undefined): void {
    const { members, positions, form, dtype } = group;
    const total = members.reduce((sum, { tensor }) => sum + tensor.elements, 0);
    const before = stream.padded ? PADDING : 0;
    const after = positions === 'mask' ? stream.positions.byteLength * 8 - total : 0;
    const alone = members.length === 1 && before + after === 0 ? members[0]?.tensor : undefined;
    const symbols = this.#inputs(group, stream, positions === 'all' ? alone?.shape : undefined);
    if (codebook !== undefined) symbols.set('codebook', codebook);
    if (positions.startsWith('gaps')) symbols.set('length', this.#int64([before + total]));
    const steps = [...valueSteps[form], ...positionSteps[positions]];
    const whole = alone !== undefined && (positions === 'all' || alone.shape.length === 1) ? alone.value : undefined;
    const flat = this.#steps(steps, symbols, whole, dtype);
    if (whole === undefined) this.#cut(flat, members, before, after);
  }

  /** Adds a tensor of zeros. */
  zeros({ tensor }: Measured): void {
    const shape = this.#int64(tensor.shape);
    const zeros = { opType: 'ConstantOfShape', inputs: ['shape'], output: 'flat' };
    this.#steps([zeros], new Map([['shape', shape]]), tensor.value, tensor.dtype);
  }

  /** The name of a codebook in this graph; a 0 comes before its entries. */
  codebook(entries: Float32Array): string {
    const known = this.#codebooks.get(entries);
    if (known !== undefined) return known;
    const table = new Float32Array(entries.length + 1);
    table.set(entries, 1);
    const name = this.#raw(DataType.FLOAT, [table.length], new Uint8Array(table.buffer));
    this.#codebooks.set(entries, name);
    return name;
  }

  /** A stream's initializers, by symbol. */
  #inputs(
    { positions, form, dtype }: Group,
    stream: NativePackedStream,
    shape?: readonly number[],
  ): Map<string, string> {
    const symbols = new Map<string, string>();
    for (const [symbol, constant] of Object.entries(constants[positions]))
      symbols.set(symbol, this.#constant(constant));
    const { type, bytes } = form === 'same' ? elementTypes[dtype] : storedTypes[form];
    const dims = shape ?? [stream.values.byteLength / bytes];
    symbols.set(form === 'same' ? 'values' : 'stored', this.#raw(type, dims, stream.values));
    if (positions === 'all') return symbols;
    const codes = stream.positions.byteLength;
    symbols.set('bytes', this.#raw(DataType.UINT8, positions === 'gaps8' ? [codes] : [codes, 1], stream.positions));
    return symbols;
  }

  /** Instantiates steps, the last of them under the name `last`; returns its name. */
  #steps(steps: readonly Step[], symbols: Map<string, string>, last: string | undefined, dtype: PackType): string {
    let name = '';
    for (const [index, { opType, inputs, output, attributes }] of steps.entries()) {
      name = index === steps.length - 1 ? (last ?? this.#names.next()) : this.#names.next();
      const fields = Object.entries(attributes ?? {}).map(([key, value]) => attribute(key, value));
      if (opType === 'ConstantOfShape' && dtype !== 'float32') fields.push(attribute('value', zero(dtype)));
      const values = inputs.map((symbol) => symbols.get(symbol) ?? '');
      this.nodes.push(create(NodeProtoSchema, { opType, input: values, output: [name], attribute: fields }));
      symbols.set(output, name);
    }
    return name;
  }

  /** Cuts the tensors out of the sequence and gives them their shapes. */
  #cut(flat: string, members: readonly Measured[], before: number, after: number): void {
    const sizes = members.map(({ tensor }) => tensor.elements);
    if (before > 0) sizes.unshift(before);
    if (after > 0) sizes.push(after);
    const parts = sizes.length === 1 ? [flat] : sizes.map(() => this.#names.next());
    const first = before > 0 ? 1 : 0;
    for (const [index, { tensor }] of members.entries())
      if (tensor.shape.length === 1) parts[first + index] = tensor.value;
    if (sizes.length > 1) {
      this.nodes.push(create(NodeProtoSchema, { opType: 'Split', input: [flat, this.#int64(sizes)], output: parts }));
    }
    for (const [index, { tensor }] of members.entries()) {
      if (tensor.shape.length === 1) continue;
      const input = [parts[first + index] ?? '', this.#int64(tensor.shape)];
      this.nodes.push(create(NodeProtoSchema, { opType: 'Reshape', input, output: [tensor.value] }));
    }
  }

  #int64(values: readonly number[]): string {
    return this.#constant({ type: 'int64', dims: [values.length], values });
  }

  #constant({ type, dims, values }: IntegerConstant): string {
    const key = `${type} ${dims.join()} ${values.join()}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.#names.next();
    // As varints, which take a byte or two where raw data takes four or eight.
    const data = type === 'int64' ? { int64Data: values.map(BigInt) } : { int32Data: [...values] };
    const dataType = type === 'int64' ? DataType.INT64 : DataType.INT32;
    this.initializers.push(create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType, ...data }));
    this.#constants.set(key, name);
    return name;
  }

  #raw(dataType: DataType, dims: readonly number[], rawData: Uint8Array): string {
    const name = this.#names.next();
    this.initializers.push(create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType, rawData }));
    return name;
  }
}

/** The names 0, 1, ..., z, 10, ... that a model does not use. */
export class ShortNames {
  readonly #taken: NameTable;
  #next = 0;

  constructor(taken: NameTable) {
    this.#taken = taken;
  }

  next(): string {
    return this.#taken.fresh((this.#next++).toString(36));
  }
}

function zero(dtype: PackType): TensorProto {
  const data = dtype === 'float64' ? { doubleData: [0] } : { int32Data: [0] };
  return create(TensorProtoSchema, { dims: [1n], dataType: elementTypes[dtype].type, ...data });
}
