// A graph that is another one but for its names gets that one's names. So weights of Darknet's YOLOv4 end up in tensors
// called as `newModel('yolov4')` calls them, and patterns and recipes fit both.
import { equals } from '@bufbuild/protobuf';
import { AttributeProtoSchema, type GraphProto, type NodeProto } from '../../src/onnx/schema/onnx_pb.js';

/**
 * Renames in place where both graphs have the same nodes in the same order, wired alike, and initializers of the same
 * shapes. Otherwise nothing changes.
 *
 * @returns whether the names were taken over.
 */
export function adoptNames(graph: GraphProto, reference: GraphProto): boolean {
  const names = matchingNames(graph, reference);
  if (names === undefined) return false;
  const renamed = (name: string) => names.get(name) ?? name;
  graph.name = reference.name;
  for (const value of [...graph.input, ...graph.output, ...graph.initializer]) value.name = renamed(value.name);
  for (const [index, node] of graph.node.entries()) {
    node.name = reference.node[index]?.name ?? node.name;
    node.input = node.input.map(renamed);
    node.output = node.output.map(renamed);
  }
  return true;
}

/** The reference's name of each value, or undefined where the graphs differ. */
function matchingNames(graph: GraphProto, reference: GraphProto): Map<string, string> | undefined {
  const names = new Map([['', '']]); // inputs that are left out
  const sameLengths = (['input', 'output', 'initializer', 'node'] as const).every(
    (key) => graph[key].length === reference[key].length,
  );
  if (!sameLengths) return undefined;
  for (const [index, { name }] of graph.input.entries()) names.set(name, reference.input[index]?.name ?? '');
  for (const [index, { name, dims }] of graph.initializer.entries()) {
    const twin = reference.initializer[index];
    if (String(dims) !== String(twin?.dims)) return undefined;
    names.set(name, twin?.name ?? '');
  }
  for (const [index, node] of graph.node.entries()) {
    const twin = reference.node[index];
    if (twin === undefined || !sameNode(node, twin, names)) return undefined;
    for (const [at, output] of node.output.entries()) names.set(output, twin.output[at] ?? '');
  }
  const sameOutputs = graph.output.every(({ name }, index) => names.get(name) === reference.output[index]?.name);
  return sameOutputs ? names : undefined;
}

function sameNode(node: NodeProto, twin: NodeProto, names: ReadonlyMap<string, string>): boolean {
  return (
    node.opType === twin.opType &&
    node.domain === twin.domain &&
    node.output.length === twin.output.length &&
    node.input.length === twin.input.length &&
    node.input.every((input, index) => names.get(input) === twin.input[index]) &&
    node.attribute.length === twin.attribute.length &&
    node.attribute.every((attribute, index) =>
      equals(AttributeProtoSchema, attribute, twin.attribute[index] ?? attribute),
    )
  );
}
