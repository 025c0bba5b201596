// Joins the islands of the blocked layout in a graph: what only changes elements is computed in blocks where an input
// was, so that a value is reordered on its way back and forth no more than once, and mostly never.
import { toBinary } from '@bufbuild/protobuf';
import { tensorAttribute } from '../onnx/attributes.js';
import { GraphBuilder, type Value } from '../onnx/build/graph-builder.js';
import { isStandard } from '../onnx/graph.js';
import { type ModelProto, type NodeProto, NodeProtoSchema } from '../onnx/schema/onnx_pb.js';
import { blocksOf } from './blocked-layout.js';
import { blocked } from './opsets.js';
import { outerValues } from './path.js';
import type { ValueFacts } from './rule.js';

/** Operators on elements: the layout of their images does not matter to them. */
const elementwise = new Set(
  ['Relu', 'LeakyRelu', 'Elu', 'Clip', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'Tanh', 'Softplus', 'Mish'].concat([
    'Add',
    'Sub',
    'Mul',
    'Div',
    'Sum',
    'Neg',
    'Abs',
    'Sqrt',
    'Exp',
  ]),
);

/** Operators that the passes to blocks write again and again with the same inputs; equal ones become one. */
const shared = new Set(['Constant', 'Reshape', 'Neg']);

// Constants beyond this are weights, and not looked at byte by byte.
const mostConstantBytes = 1 << 14;

/**
 * Moves reorderings past elementwise operators and takes out those that cancel, in place.
 *
 * @param shapes of values in the usual layout; what lies between values of unknown shape stays in it.
 */
export function joinBlocks(model: ModelProto, shapes: ReadonlyMap<Value, ValueFacts>, size: number): void {
  const { graph } = model;
  if (graph === undefined) return;
  const builder = GraphBuilder.extend(graph);
  const nodes = graph.node.splice(0);
  const kept = new Set([...graph.output.map(({ name }) => name), ...nodes.flatMap(outerValues)]);
  const joiner = new Joiner(model, builder, { kept, shapes, size });
  for (const node of nodes) joiner.add(node);
  graph.node = used(graph.node, kept);
}

interface Known {
  /** Values that must keep their names. */
  readonly kept: ReadonlySet<Value>;
  readonly shapes: ReadonlyMap<Value, ValueFacts>;
  readonly size: number;
}

class Joiner {
  readonly #model: ModelProto;
  readonly #builder: GraphBuilder;
  readonly #known: Known;
  readonly #shapes: Map<Value, ValueFacts>;
  /** Values by the one that replaces them. */
  readonly #same = new Map<Value, Value>();
  /** Outputs of shared nodes by what the nodes say. */
  readonly #outputs = new Map<string, readonly Value[]>();
  /** Values of the usual layout that are also there in blocks. */
  readonly #inBlocks = new Map<Value, Value>();
  /** Those that were computed in blocks. */
  readonly #madeInBlocks = new Set<Value>();

  constructor(model: ModelProto, builder: GraphBuilder, known: Known) {
    this.#model = model;
    this.#builder = builder;
    this.#known = known;
    this.#shapes = new Map(known.shapes);
  }

  /** Nodes come in the order of the graph. */
  add(node: NodeProto): void {
    node.input = node.input.map((value) => this.#now(value));
    if (this.#isKnown(node)) return;
    const [x = ''] = node.input;
    const [y = ''] = node.output;
    const constant = tensorAttribute(node, 'value');
    if (node.opType === 'Constant' && constant)
      this.#shapes.set(y, { shape: constant.dims.map(Number), dtype: 'float32' });
    // Both layouts have one shape.
    if (isStandard(node) && ['Shape', 'Size'].includes(node.opType)) node.input = [this.#inBlocks.get(x) ?? x];
    if (node.domain === blocked && node.opType === 'ReorderInput') {
      const image = this.#inBlocks.get(x);
      if (image !== undefined) {
        this.#same.set(y, image);
        return;
      }
      this.#inBlocks.set(x, y);
    }
    if (node.domain === blocked && node.opType === 'ReorderOutput') this.#isMade(y, x);
    else if (this.#takeIntoBlocks(node)) return;
    this.#builder.graph.node.push(node);
  }

  #now(value: Value): Value {
    return this.#same.get(value) ?? value;
  }

  #isMade(usual: Value, image: Value): void {
    this.#inBlocks.set(usual, image);
    this.#madeInBlocks.add(usual);
  }

  /** Whether an equal node was there before; if so, its outputs replace this one's. */
  #isKnown(node: NodeProto): boolean {
    const sharing = node.domain === blocked || (isStandard(node) && shared.has(node.opType));
    if (!sharing || node.output.some((value) => this.#known.kept.has(value))) return false;
    const bytes = toBinary(NodeProtoSchema, { ...node, name: '', output: [] });
    if (bytes.length > mostConstantBytes) return false;
    const key = Buffer.from(bytes).toString('latin1');
    const outputs = this.#outputs.get(key);
    if (outputs === undefined) this.#outputs.set(key, [...node.output]);
    else for (const [index, value] of node.output.entries()) this.#same.set(value, this.#now(outputs[index] ?? ''));
    return outputs !== undefined;
  }

  /** Adds an elementwise node on blocks instead, where one of its images was made in them. */
  #takeIntoBlocks(node: NodeProto): boolean {
    if (!isStandard(node) || !elementwise.has(node.opType)) return false;
    const isScalar = (value: Value) => this.#shapes.get(value)?.shape.length === 0;
    const images = new Set(node.input.filter((value) => value !== '' && !isScalar(value)));
    const shape = this.#commonShape([...images]);
    if (shape === undefined || ![...images].some((value) => this.#madeInBlocks.has(value))) return false;
    const [y = ''] = node.output;
    const { emit } = blocksOf(this.#model, this.#builder, { name: `${y}/blocked`, size: this.#known.size });
    const inBlocks = (value: Value) => {
      const image = this.#inBlocks.get(value) ?? emit('ReorderInput', [value]);
      this.#inBlocks.set(value, image);
      return image;
    };
    node.input = node.input.map((value) => (images.has(value) ? inBlocks(value) : value));
    const image = this.#builder.fresh(`${y}/blocks`);
    node.output = [image];
    this.#builder.graph.node.push(node);
    emit('ReorderOutput', [image], { channels: shape.shape[1] ?? 0 });
    const reorder = this.#builder.graph.node.at(-1);
    if (reorder !== undefined) reorder.output = [y];
    this.#isMade(y, image);
    this.#shapes.set(y, shape);
    return true;
  }

  /** The shape of all values, if it is the same and fills blocks. */
  #commonShape(values: readonly Value[]): ValueFacts | undefined {
    const [first, ...others] = values.map((value) => this.#shapes.get(value));
    if (first?.dtype !== 'float32' || first.shape.length !== 4) return undefined;
    if ((first.shape[1] ?? 0) % this.#known.size !== 0) return undefined;
    const equal = others.every((facts) => facts !== undefined && String(facts.shape) === String(first.shape));
    return equal ? first : undefined;
  }
}

/** The nodes that an output needs. */
function used(nodes: readonly NodeProto[], kept: ReadonlySet<Value>): NodeProto[] {
  const wanted = new Set(kept);
  const found = nodes.toReversed().filter((node) => {
    const needed = node.output.some((value) => wanted.has(value));
    if (needed) for (const value of node.input) wanted.add(value);
    return needed;
  });
  return found.toReversed();
}
