// Static shape inference over the main graph. Unknown lengths stay symbols and unknown operators give unknown shapes,
// for which the model's own value_info is asked. Nothing is run, and no large tensor is read.
import { decodeElements } from '../elements.js';
import { isStandard } from '../graph.js';
import { opsetOf } from '../opset.js';
import type { GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } from '../schema/onnx_pb.js';
import { TensorProto_DataType as DataType } from '../schema/onnx_pb.js';
import { compute } from './compute.js';
import { contentRules, MAX_CONTENTS } from './contents.js';
import { layout } from './layout.js';
import type { InferContext, InferFamily } from './rule.js';
import { type Dim, type Shape, Symbols } from './shape.js';
import { windows } from './windows.js';

const rules: InferFamily = { ...windows, ...layout, ...compute };

/** What is known of the values of a graph, by name. */
export interface Inferred {
  opset: number;
  symbols: Symbols;
  shapes: Map<string, Shape>;
  /** Elements of small integer tensors. */
  contents: Map<string, readonly Dim[]>;
  /** Elements of small constant float tensors. */
  floats: Map<string, readonly number[]>;
  /** ONNX data types. */
  types: Map<string, number>;
}

/** Raw elements of a tensor, little-endian. */
export type ReadTensor = (tensor: TensorProto) => Uint8Array;

/**
 * Infers the shapes of all values of a model's main graph.
 *
 * @param read for small tensors, such as the target of a Reshape.
 */
export function inferShapes(model: ModelProto, read: ReadTensor): Inferred {
  const walk = new Inference(opsetOf(model), read);
  if (model.graph !== undefined) walk.graph(model.graph);
  return walk.inferred;
}

/** What a rule may ask about one node. */
export function contextOf({ shapes, contents, floats, opset, symbols }: Inferred, node: NodeProto): InferContext {
  const name = (input: number): string => node.input[input] ?? '';
  return {
    node,
    opset,
    symbols,
    shape: (input) => shapes.get(name(input)),
    // Output 0 of Shape is asked for its own length.
    contents: (input) => contents.get(input < 0 ? (node.output[0] ?? '') : name(input)),
    floats: (input) => floats.get(name(input)),
  };
}

class Inference {
  readonly inferred: Inferred;
  readonly #read: ReadTensor;
  readonly #declared = new Map<string, ValueInfoProto>();

  constructor(opset: number, read: ReadTensor) {
    const symbols = new Symbols();
    this.inferred = { opset, symbols, shapes: new Map(), contents: new Map(), floats: new Map(), types: new Map() };
    this.#read = read;
  }

  graph(graph: GraphProto): void {
    for (const info of [...graph.valueInfo, ...graph.output]) this.#declared.set(info.name, info);
    for (const info of graph.input) this.#set(info.name, this.#shapeOf(info), typeOf(info));
    for (const tensor of graph.initializer) this.#tensor(tensor.name, tensor);
    for (const { values, dims } of graph.sparseInitializer) {
      if (values !== undefined) this.#set(values.name, dims.map(Number), values.dataType);
    }
    for (const node of graph.node) this.#node(node);
  }

  #node(node: NodeProto): void {
    const constant =
      isStandard(node) && node.opType === 'Constant' ? node.attribute.find(({ t }) => t !== undefined) : undefined;
    const name = node.output[0] ?? '';
    if (constant?.t !== undefined) {
      this.#tensor(name, constant.t);
      return;
    }
    const context = contextOf(this.inferred, node);
    const contents = isStandard(node) ? contentRules[node.opType]?.(context) : undefined;
    if (contents !== undefined && contents.length <= MAX_CONTENTS) this.inferred.contents.set(name, contents);
    const shapes = isStandard(node) ? rules[node.opType]?.(context) : undefined;
    for (const [index, output] of node.output.entries()) {
      if (output !== '') this.#set(output, this.#declaredOr(output, shapes?.[index]), this.#typeOfOutput(node, output));
    }
  }

  #tensor(name: string, tensor: TensorProto): void {
    const dims = tensor.dims.map(Number);
    this.#set(name, dims, tensor.dataType);
    if (dims.reduce((product, dim) => product * dim, 1) > MAX_CONTENTS) return;
    const float = tensor.dataType === DataType.FLOAT;
    if (!float && tensor.dataType !== DataType.INT64 && tensor.dataType !== DataType.INT32) return;
    const elements = decodeElements(tensor.dataType, this.#read(tensor));
    if (elements !== undefined) (float ? this.inferred.floats : this.inferred.contents).set(name, [...elements]);
  }

  /** What the rules know, completed by what the model declares. */
  #declaredOr(name: string, shape: Shape | undefined): Shape | undefined {
    const info = this.#declared.get(name);
    const declared = info && this.#shapeOf(info);
    if (shape === undefined || declared?.length !== shape.length) return shape ?? declared;
    return shape.map((dim, axis) => (String(dim).startsWith('?') ? (declared[axis] ?? dim) : dim));
  }

  #shapeOf({ type }: ValueInfoProto): Shape | undefined {
    const dims = type?.value.case === 'tensorType' ? type.value.value.shape?.dim : undefined;
    return dims?.map(({ value }) => {
      if (value.case === 'dimValue' && value.value >= 0n) return Number(value.value);
      return value.case === 'dimParam' && value.value !== '' ? value.value : this.inferred.symbols.fresh();
    });
  }

  #typeOfOutput(node: NodeProto, output: string): number {
    if (node.opType === 'Cast') return Number(node.attribute.find(({ name }) => name === 'to')?.i ?? 0);
    if (node.opType === 'Shape' || node.opType === 'Size') return DataType.INT64;
    const info = this.#declared.get(output);
    const declared = info === undefined ? 0 : typeOf(info);
    return declared === 0 ? (this.inferred.types.get(node.input[0] ?? '') ?? 0) : declared;
  }

  #set(name: string, shape: Shape | undefined, type: number): void {
    if (shape !== undefined) this.inferred.shapes.set(name, shape);
    if (type !== 0) this.inferred.types.set(name, type);
  }
}

function typeOf({ type }: ValueInfoProto): number {
  return type?.value.case === 'tensorType' ? type.value.value.elemType : 0;
}
