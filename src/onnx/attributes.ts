// Reads attributes of nodes by name. What is absent has the default that the caller gives; what is of another type than
// the operator's reads as that type's zero, as everywhere in protobuf. `build/attributes.ts` writes them.
import type { AttributeProto, NodeProto, TensorProto } from './schema/onnx_pb.js';

/** The attribute with a name. */
export function findAttribute(node: NodeProto, name: string): AttributeProto | undefined {
  return node.attribute.find((attribute) => attribute.name === name);
}

export function intAttribute(node: NodeProto, name: string, otherwise: number): number {
  const found = findAttribute(node, name);
  return found === undefined ? otherwise : Number(found.i);
}

export function intsAttribute(node: NodeProto, name: string): number[] | undefined {
  return findAttribute(node, name)?.ints.map(Number);
}

export function floatAttribute(node: NodeProto, name: string, otherwise: number): number {
  return findAttribute(node, name)?.f ?? otherwise;
}

export function stringAttribute(node: NodeProto, name: string, otherwise: string): string {
  const found = findAttribute(node, name);
  return found === undefined ? otherwise : new TextDecoder().decode(found.s);
}

export function tensorAttribute(node: NodeProto, name: string): TensorProto | undefined {
  return findAttribute(node, name)?.t;
}
