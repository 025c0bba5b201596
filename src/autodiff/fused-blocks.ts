// Fuses what follows a blocked convolution into it: the runtime's operator adds another value to its result and applies
// an activation before it writes. A convolution of one pixel (BatchNormalization) then costs no pass beside them.
import type { Value } from '../onnx/build/graph-builder.js';
import { isStandard } from '../onnx/graph.js';
import type { GraphProto, NodeProto } from '../onnx/schema/onnx_pb.js';
import { blocked } from './opsets.js';
import { outerValues } from './path.js';
import { setAttribute } from './raise-opset.js';
import { floatAttribute } from './rule.js';

/** Fuses activations and sums into the blocked convolutions that nothing else reads. In place, after {@link joinBlocks}. */
export function fuseBlocks(graph: GraphProto): void {
  const fuser = new Fuser(usesIn(graph));
  for (const node of graph.node) fuser.add(node);
  graph.node = fuser.nodes();
}

function usesIn(graph: GraphProto): ReadonlyMap<Value, number> {
  const read = graph.node.flatMap((node) => [...node.input, ...outerValues(node)]);
  const uses = new Map<Value, number>();
  for (const value of [...read, ...graph.output.map(({ name }) => name)]) uses.set(value, (uses.get(value) ?? 0) + 1);
  return uses;
}

class Fuser {
  readonly #uses: ReadonlyMap<Value, number>;
  readonly #nodes = new Set<NodeProto>();
  /** Values in blocks, with the convolution that made them where something can be fused into it. */
  readonly #images = new Map<Value, NodeProto | undefined>();

  constructor(uses: ReadonlyMap<Value, number>) {
    this.#uses = uses;
  }

  nodes(): NodeProto[] {
    return [...this.#nodes];
  }

  /** Nodes come in the order of the graph. */
  add(node: NodeProto): void {
    const made = isStandard(node) ? (this.#withActivation(node) ?? this.#withSum(node)) : undefined;
    const last = made ?? node;
    this.#nodes.add(last);
    const [y = ''] = last.output;
    const inBlocks = node.domain === blocked ? isImage(node) : node.input.some((value) => this.#images.has(value));
    if (!inBlocks) return;
    const open = last.domain === blocked && last.opType === 'Conv' && !last.attribute.some(isActivation);
    this.#images.set(y, open && this.#uses.get(y) === 1 ? last : undefined);
  }

  /** The convolution before an activation, with it. */
  #withActivation(node: NodeProto): NodeProto | undefined {
    const conv = this.#images.get(node.input[0] ?? '');
    if (conv === undefined || !['Relu', 'LeakyRelu'].includes(node.opType)) return undefined;
    setAttribute(conv, 'activation', node.opType);
    if (node.opType === 'LeakyRelu') {
      setAttribute(conv, 'activation_params', Float32Array.of(floatAttribute(node, 'alpha', 0.01)));
    }
    conv.output = [...node.output];
    return conv;
  }

  /** The convolution that is one side of a sum, with the other; it moves to where both are known. */
  #withSum(node: NodeProto): NodeProto | undefined {
    if (!['Add', 'Sum'].includes(node.opType) || node.input.length !== 2) return undefined;
    if (!node.input.every((value) => this.#images.has(value))) return undefined;
    const index = node.input.findLastIndex((value) => (this.#images.get(value)?.input.length ?? 4) < 4);
    const conv = this.#images.get(node.input[index] ?? '');
    if (conv === undefined) return undefined;
    const [x = '', weights = '', bias = ''] = conv.input;
    conv.input = [x, weights, bias, node.input[1 - index] ?? ''];
    conv.output = [...node.output];
    this.#nodes.delete(conv);
    return conv;
  }
}

/** Whether a blocked operator's output is in blocks and of the size of an image. */
function isImage({ opType }: NodeProto): boolean {
  return opType === 'Conv' || opType === 'ReorderInput';
}

function isActivation({ name }: { readonly name: string }): boolean {
  return name === 'activation';
}
