// Names that the subgraphs of a node (the branches of If, the bodies of Loop and Scan) take from the graph around them.
import type { AttributeProto, GraphProto, NodeProto } from '../onnx/schema/onnx_pb.js';

/** The outer names that a node's subgraphs read, each once. */
export function capturedNames(node: NodeProto): string[] {
  const names = new Set<string>();
  for (const graph of node.attribute.flatMap(subgraphs)) collect(graph, new Set(), names);
  return [...names];
}

function subgraphs({ g, graphs }: AttributeProto): GraphProto[] {
  return g === undefined ? graphs : [g, ...graphs];
}

function collect(graph: GraphProto, around: ReadonlySet<string>, names: Set<string>): void {
  const own = new Set([
    ...around,
    '',
    ...graph.input.map(({ name }) => name),
    ...graph.initializer.map(({ name }) => name),
  ]);
  for (const { values } of graph.sparseInitializer) own.add(values?.name ?? '');
  const read = (name: string): void => {
    if (!own.has(name)) names.add(name);
  };
  for (const node of graph.node) {
    for (const name of node.input) read(name);
    for (const inner of node.attribute.flatMap(subgraphs)) collect(inner, own, names);
    for (const name of node.output) own.add(name);
  }
  for (const { name } of graph.output) read(name);
}
