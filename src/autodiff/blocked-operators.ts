// Puts a whole graph into the runtime's blocked layout: its convolutions and normalisations where their channels fill
// blocks, and what lies between them. Gradients made for blocks come with their own (rules/).
import { GraphBuilder, type Value } from '../onnx/build/graph-builder.js';
import { isStandard } from '../onnx/graph.js';
import { opsetOf } from '../onnx/opset.js';
import type { ModelProto, NodeProto } from '../onnx/schema/onnx_pb.js';
import { type BatchNorm, blockedBatchNorm, type Emitter } from './blocked-batch-norm.js';
import { type BlockedConv, blockedConv, blocksOf, fillsBlocks } from './blocked-layout.js';
import { fuseBlocks } from './fused-blocks.js';
import { joinBlocks } from './joined-blocks.js';
import {
  floatAttribute,
  intAttribute,
  intsAttribute,
  type NodeEmitter,
  stringAttribute,
  type ValueFacts,
} from './rule.js';

/**
 * Replaces operators by blocked ones, in place; outputs keep their names.
 *
 * @param shapes of the values of the forward graph, and of gradients where there are some.
 */
export function blockOperators(model: ModelProto, shapes: ReadonlyMap<Value, ValueFacts>, size: number): void {
  const { graph } = model;
  if (graph === undefined) return;
  const builder = GraphBuilder.extend(graph);
  const opset = opsetOf(model);
  const nodes = graph.node.splice(0);
  for (const node of nodes) {
    const begin = graph.node.length;
    const name = `${node.name || node.output[0]}/blocked`;
    const emit: NodeEmitter['emit'] = (opType, inputs, attributes) => builder.op(opType, inputs, attributes, { name });
    const to = { graph: builder, emit, opset, blocks: blocksOf(model, builder, { name, size }) };
    const values = inBlocks(to, node, shapes);
    if (values === undefined) graph.node.push(node);
    else giveNames(graph.node.slice(begin), values, node.output);
  }
  joinBlocks(model, shapes, size);
  fuseBlocks(graph);
}

/** The node's outputs, computed in blocks; undefined where that cannot be. */
function inBlocks(to: Emitter, node: NodeProto, shapes: ReadonlyMap<Value, ValueFacts>): Value[] | undefined {
  const conv = convOf(node, shapes);
  if (conv !== undefined) return fillsBlocks(conv, to.blocks.size) ? [blockedConv(to, conv)] : undefined;
  const norm = batchNormOf(node, shapes);
  return norm !== undefined && norm.channels % to.blocks.size === 0 ? blockedBatchNorm(to, norm) : undefined;
}

/** Gives computed values the names that the rest of the graph knows. */
function giveNames(nodes: readonly NodeProto[], values: readonly Value[], names: readonly Value[]): void {
  const byValue = new Map(values.map((value, index) => [value, names[index]]));
  const renamed = (value: Value) => byValue.get(value) || value;
  for (const node of nodes) {
    node.input = node.input.map(renamed);
    node.output = node.output.map(renamed);
  }
}

function convOf(node: NodeProto, shapes: ReadonlyMap<Value, ValueFacts>): BlockedConv | undefined {
  const [x = '', weights = '', bias] = node.input;
  const facts = shapes.get(weights);
  if (node.opType !== 'Conv' || !isStandard(node) || facts?.dtype !== 'float32') return undefined;
  const autoPad = stringAttribute(node, 'auto_pad', 'NOTSET');
  const attributes = {
    strides: intsAttribute(node, 'strides') ?? [1, 1],
    dilations: intsAttribute(node, 'dilations') ?? [1, 1],
    ...(autoPad === 'NOTSET' ? { pads: intsAttribute(node, 'pads') ?? [0, 0, 0, 0] } : { auto_pad: autoPad }),
  };
  return { x, weights, shape: facts.shape, group: intAttribute(node, 'group', 1), bias: bias || undefined, attributes };
}

function batchNormOf(node: NodeProto, shapes: ReadonlyMap<Value, ValueFacts>): BatchNorm | undefined {
  const [x = '', scale = '', offset = '', mean = '', variance = ''] = node.input;
  const { shape = [], dtype } = shapes.get(x) ?? {};
  if (node.opType !== 'BatchNormalization' || !isStandard(node) || dtype !== 'float32') return undefined;
  const trains = intAttribute(node, 'training_mode', 0) === 1;
  // With a momentum the operator mixes running statistics too.
  if (shape.length !== 4 || (trains && floatAttribute(node, 'momentum', 0.9) !== 0)) return undefined;
  const epsilon = floatAttribute(node, 'epsilon', 1e-5);
  return { x, scale, offset, channels: shape[1] ?? 0, epsilon, ...(!trains && { fixed: { mean, variance } }) };
}
