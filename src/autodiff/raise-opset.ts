// Raises models of operator sets 11 to 15 to 16, where ScatterElements and ScatterND learned to add and
// BatchNormalization has a training mode. Nodes whose meaning or form changed on the way are rewritten; all others mean
// the same in 16. Higher versions stay: from 18 on the reductions take their axes in another way.
import { create } from '@bufbuild/protobuf';
import { SecateurError } from '../errors.js';
import { type AttributeValue, attribute } from '../onnx/build/attributes.js';
import { GraphBuilder } from '../onnx/build/graph-builder.js';
import { isStandard } from '../onnx/graph.js';
import { opsetOf } from '../onnx/opset.js';
import {
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  OperatorSetIdProtoSchema,
} from '../onnx/schema/onnx_pb.js';
import { floatAttribute, intAttribute, intsAttribute } from './rule.js';

const wanted = 16;

/**
 * Raises the version of ai.onnx to 16 where it is 11 to 15, in place.
 *
 * @throws SecateurError UNSUPPORTED where the version is below 11, or where a Softmax, LogSoftmax or Hardmax of before
 *   13, over another axis than the last, is inside a subgraph.
 */
export function raiseOpset(model: ModelProto): void {
  const { graph } = model;
  const from = opsetOf(model);
  if (graph === undefined || from >= wanted) return;
  if (from < 11) throw new SecateurError('UNSUPPORTED', `Expected operator set 11 or later, got ${from}`);
  raiseNodes(graph, GraphBuilder.extend(graph), from, graph);
  model.opsetImport = [
    ...model.opsetImport.filter(({ domain }) => domain !== '' && domain !== 'ai.onnx'),
    create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(wanted) }),
  ];
}

/** Rewrites a graph's nodes in order. New nodes go to the main graph, whose values subgraphs see. */
function raiseNodes(graph: GraphProto, main: GraphBuilder, from: number, mainGraph: GraphProto): void {
  const nodes = graph.node;
  if (graph === mainGraph) graph.node = []; // the builder appends to it
  for (const node of nodes) {
    for (const inner of subgraphsOf(node)) raiseNodes(inner, main, from, mainGraph);
    if (isStandard(node)) raise(node, { main, from, nested: graph !== mainGraph });
    if (graph === mainGraph) graph.node.push(node);
  }
}

function subgraphsOf(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

interface Raising {
  readonly main: GraphBuilder;
  readonly from: number;
  readonly nested: boolean;
}

/** What changed: from which version on, and how a node of before is written now. */
const changes: Readonly<Record<string, readonly [since: number, change: (node: NodeProto, raising: Raising) => void]>> =
  {
    Squeeze: [13, (node, { main }) => toInput(node, 'axes', main)],
    Unsqueeze: [13, (node, { main }) => toInput(node, 'axes', main)],
    ReduceSum: [13, (node, { main }) => toInput(node, 'axes', main)],
    Split: [13, (node, { main }) => toInput(node, 'split', main)],
    Softmax: [13, flattened],
    LogSoftmax: [13, flattened],
    Hardmax: [13, flattened],
    Dropout: [
      12,
      (node, { main }) => {
        node.input = [node.input[0] ?? '', main.float32(floatAttribute(node, 'ratio', 0.5))];
        remove(node, 'ratio');
      },
    ],
    // Further outputs said that the node trains; the last two were the runtime's own.
    BatchNormalization: [
      14,
      (node) => {
        if (node.output.length > 1) setAttribute(node, 'training_mode', 1);
        node.output = node.output.slice(0, 3);
      },
    ],
    // The default became half_pixel.
    RoiAlign: [16, (node) => setAttribute(node, 'coordinate_transformation_mode', 'output_half_pixel')],
  };

function raise(node: NodeProto, raising: Raising): void {
  const [since, change] = changes[node.opType] ?? [];
  if (since !== undefined && raising.from < since) change?.(node, raising);
}

/** An attribute of integers that became input 1. */
function toInput(node: NodeProto, name: string, main: GraphBuilder): void {
  const axes = intsAttribute(node, name);
  if (axes === undefined) return;
  node.input = [node.input[0] ?? '', main.int64(axes)];
  remove(node, name);
}

// Until 12 they worked on the matrix of the dimensions before the axis by those from it on.
function flattened(node: NodeProto, { main, nested }: Raising): void {
  const axis = intAttribute(node, 'axis', 1);
  if (axis === -1) return;
  if (nested) {
    const which = `${node.opType} ${node.name || node.output[0]}`;
    throw new SecateurError('UNSUPPORTED', `Expected ${which} in a subgraph to be over axis -1, got axis ${axis}`);
  }
  const [x = '', y = ''] = [node.input[0], node.output[0]];
  const name = node.name || y;
  const flat = main.op('Flatten', [x], { axis }, { name: `${name}/flat` });
  const normal = main.op(node.opType, [flat], { axis: -1 }, { name: `${name}/normal` });
  const shape = main.op('Shape', [x], {}, { name: `${name}/shape` });
  Object.assign(node, { opType: 'Reshape', input: [normal, shape], attribute: [] });
}

/** Sets an attribute, whether or not the node has it. */
export function setAttribute(node: NodeProto, name: string, value: AttributeValue): void {
  remove(node, name);
  node.attribute.push(attribute(name, value));
}

function remove(node: NodeProto, name: string): void {
  node.attribute = node.attribute.filter((each: AttributeProto) => each.name !== name);
}
