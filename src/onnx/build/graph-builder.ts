// Builds ONNX graphs node by node. A value is its name, so graphs built here and graphs read from files mix freely.
// The builder knows no operators and infers no shapes: what is right for an operator is the caller's business, and
// the runtime checks it. All state lies in the builder; two builders never see each other.
import { create } from '@bufbuild/protobuf';
import { type GraphProto, GraphProtoSchema, type NodeProto, NodeProtoSchema } from '../schema/onnx_pb.js';
import { type Attributes, attribute } from './attributes.js';
import { NameTable } from './names.js';
import { type Dimension, type ElementType, elementTypeOf, type TensorData, tensor, valueInfo } from './tensors.js';

/** A value in a graph: the output of a node, an input or an initializer, by its name. */
export type Value = string;

/** An input of a node; `null` is an optional input left out. */
export type NodeInput = Value | null;

export interface NodeOptions {
  /** The node's name within the scope. @default the operator's name */
  name?: string;
  /** Exact names of the outputs, outside any scope; for graph outputs. @default the node's name */
  outputs?: readonly string[];
  /** The operator set. @default '' (ai.onnx) */
  domain?: string;
}

/** What all scopes of a builder share. */
interface Shared {
  readonly graph: GraphProto;
  readonly names: NameTable;
  /** Constants by type, shape and bytes. */
  readonly constants: Map<string, Value>;
}

/**
 * A graph in the making.
 *
 * @example
 * const graph = GraphBuilder.create('double');
 * const x = graph.input('x', 'float32', ['N', 3]);
 * graph.output(graph.op('Mul', [x, graph.float32(2)]), 'float32', ['N', 3]);
 * const model = modelOf(graph.graph, { opset: 17 });
 */
export class GraphBuilder {
  readonly #shared: Shared;
  readonly #prefix: string;

  private constructor(shared: Shared, prefix: string) {
    this.#shared = shared;
    this.#prefix = prefix;
  }

  /** Begins an empty graph. */
  static create(name: string): GraphBuilder {
    return GraphBuilder.extend(create(GraphProtoSchema, { name }));
  }

  /** Adds to an existing graph, in place. Names already in it are never given out again. */
  static extend(graph: GraphProto): GraphBuilder {
    const names = new NameTable();
    names.reserve(graph);
    return new GraphBuilder({ graph, names, constants: new Map() }, '');
  }

  /** The graph as it is now. Nodes lie in the order of the calls, which is topological if values are made before use. */
  get graph(): GraphProto {
    return this.#shared.graph;
  }

  /** The same graph under a longer prefix: in `scope('stage1')`, `op('Relu', ...)` makes `stage1.Relu`. */
  scope(name: string): GraphBuilder {
    return new GraphBuilder(this.#shared, `${this.#prefix}${name}.`);
  }

  /** An unused name: the scope's prefix and `wish`, with a suffix if that is taken. */
  fresh(wish: string): string {
    return this.#shared.names.fresh(this.#prefix + wish);
  }

  /** Adds a node with one output and returns it. */
  op(opType: string, inputs: readonly NodeInput[], attributes: Attributes = {}, options: NodeOptions = {}): Value {
    return this.#add(opType, inputs, attributes, options, 1)[0] as Value; // #add returns as many as it is asked for
  }

  /** Adds a node with `count` outputs and returns them in order. */
  ops(
    opType: string,
    inputs: readonly NodeInput[],
    count: number,
    attributes: Attributes = {},
    options: NodeOptions = {},
  ): Value[] {
    return this.#add(opType, inputs, attributes, options, count);
  }

  /** Declares a graph input under exactly this name. */
  input(name: string, type: ElementType, dims: readonly Dimension[]): Value {
    this.#shared.graph.input.push(valueInfo(this.#shared.names.claim(name), type, dims));
    return name;
  }

  /** Declares a value as the next output of the graph. */
  output(value: Value, type: ElementType, dims: readonly Dimension[]): void {
    this.#shared.graph.output.push(valueInfo(value, type, dims));
  }

  /** Adds a tensor under its name in the scope (with a suffix if taken). The array's bytes are used, not copied. */
  initializer(name: string, dims: readonly number[], data: TensorData): Value {
    const value = this.fresh(name);
    this.#shared.graph.initializer.push(tensor(value, dims, data));
    return value;
  }

  /**
   * A tensor that is part of the computation, such as axes or a factor: a `Constant` node, so that the initializers of
   * a graph are its parameters and nothing else. Equal constants of all scopes are one node, named after its contents;
   * so do not change the array afterwards.
   */
  constant(dims: readonly number[], data: TensorData): Value {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');
    const type = elementTypeOf(data);
    const key = `${type}[${dims.join(',')}]${bytes}`;
    const known = this.#shared.constants.get(key);
    if (known !== undefined) return known;
    const shown = data.length <= 4 ? [...data].join('_') : `x${data.length}`;
    const root = new GraphBuilder(this.#shared, '');
    const value = root.op('Constant', [], { value: tensor('', dims, data) }, { name: `constant.${type}_${shown}` });
    this.#shared.constants.set(key, value);
    return value;
  }

  /** An int64 constant: a scalar from a number, a vector from an array. */
  int64(value: number | readonly number[]): Value {
    const [dims, values] = typeof value === 'number' ? [[], [value]] : [[value.length], value];
    return this.constant(dims, BigInt64Array.from(values, BigInt));
  }

  /** A float32 constant: a scalar from a number, a vector from an array. */
  float32(value: number | readonly number[]): Value {
    const [dims, values] = typeof value === 'number' ? [[], [value]] : [[value.length], value];
    return this.constant(dims, Float32Array.from(values));
  }

  #add(
    opType: string,
    inputs: readonly NodeInput[],
    attributes: Attributes,
    { name = opType, outputs, domain = '' }: NodeOptions,
    count: number,
  ): Value[] {
    const nodeName = this.fresh(name);
    const values = outputs?.map((output) => this.#shared.names.claim(output)) ?? this.#outputsOf(nodeName, count);
    const node: NodeProto = create(NodeProtoSchema, {
      name: nodeName,
      opType,
      domain,
      input: inputs.map((input) => input ?? ''),
      output: values,
      attribute: Object.entries(attributes).flatMap(([key, value]) =>
        value === undefined ? [] : [attribute(key, value)],
      ),
    });
    this.#shared.graph.node.push(node);
    return values;
  }

  // A single output shares its node's name: the two live in different name spaces, and one word is easier to read.
  #outputsOf(nodeName: string, count: number): Value[] {
    if (count === 1) return [nodeName];
    return Array.from({ length: count }, (_, index) => this.#shared.names.fresh(`${nodeName}.${index}`));
  }
}
