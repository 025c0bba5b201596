// Sets integer attributes of a node, whether it has them or not.
import { attribute } from '../onnx/build/attributes.js';
import type { NodeProto } from '../onnx/schema/onnx_pb.js';

export function setInt(node: NodeProto, name: string, value: number): void {
  replace(node, name, value);
}

export function setInts(node: NodeProto, name: string, values: readonly number[]): void {
  replace(node, name, values);
}

/** Leaves an attribute as it is where it says the same already, so that its bytes stay. */
function replace(node: NodeProto, name: string, value: number | readonly number[]): void {
  const at = node.attribute.findIndex((candidate) => candidate.name === name);
  const fresh = attribute(name, value);
  if (at < 0) node.attribute.push(fresh);
  else if (node.attribute[at]?.i !== fresh.i || node.attribute[at]?.ints.join() !== fresh.ints.join())
    node.attribute[at] = fresh;
}
