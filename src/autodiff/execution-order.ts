// Orders the nodes of a training graph so that the runtime keeps little in memory. ONNX Runtime does not run nodes in the
// order of the file: it walks back from the nodes that nobody reads, the last of the file first, and of a node's inputs it
// follows first the one that lies last. So a file says by its order what is computed early and what late.
import type { Value } from '../onnx/build/graph-builder.js';
import type { GraphProto, NodeProto } from '../onnx/schema/onnx_pb.js';
import { outerValues } from './path.js';

/**
 * Reorders nodes in place. What depends on `parameters` alone, such as kernels turned round or cut in blocks, comes first and
 * is thus computed right before it is read: in the order of differentiation all of it, twice the weights, was there before
 * the first convolution ran. Gradients come last and in the order of differentiation backwards, so that each is computed
 * as soon as it can be, and the activations that it needs can go.
 */
export function orderForMemory(graph: GraphProto, parameters: ReadonlySet<Value>): void {
  const early = dependents(graph.node, parameters);
  const rest = graph.node.filter((node) => !early.has(node));
  const late = lastNodes(rest);
  graph.node = [...early, ...rest.filter((node) => !late.has(node)), ...late];
}

/** Nodes that read nothing but parameters, constants and each other, in order. */
function dependents(nodes: readonly NodeProto[], parameters: ReadonlySet<Value>): Set<NodeProto> {
  const known = new Set(parameters);
  const found = new Set<NodeProto>();
  for (const node of nodes) {
    if (![...node.input, ...outerValues(node)].every((value) => value === '' || known.has(value))) continue;
    found.add(node);
    for (const value of node.output) known.add(value);
  }
  return found;
}

/**
 * Nodes that nobody reads, backwards. An Identity goes with the node that it names, since the runtime takes it out where
 * nothing else reads that.
 */
function lastNodes(nodes: readonly NodeProto[]): Set<NodeProto> {
  const readers = new Map<Value, number>();
  for (const value of nodes.flatMap((node) => [...node.input, ...outerValues(node)])) {
    readers.set(value, (readers.get(value) ?? 0) + 1);
  }
  const makers = new Map(nodes.flatMap((node) => node.output.map((value) => [value, node] as const)));
  const position = new Map(nodes.map((node, index) => [node, index]));
  const named = (node: NodeProto): NodeProto | undefined => {
    const [value = ''] = node.input;
    const maker = node.opType === 'Identity' && readers.get(value) === 1 ? makers.get(value) : undefined;
    return maker?.output.length === 1 ? maker : undefined;
  };
  return new Set(
    nodes
      .filter((node) => !node.output.some((value) => readers.has(value)))
      .map((node) => [named(node), node].filter((each) => each !== undefined))
      .toSorted(([a], [b]) => (position.get(b as NodeProto) ?? 0) - (position.get(a as NodeProto) ?? 0))
      .flat(),
  );
}
