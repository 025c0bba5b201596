// Turns a model that was exported for training into one that infers: BatchNormalization takes the statistics that it has
// learned, and Dropout drops nothing. The way back of training-mode.ts.

import { GraphBuilder } from '../onnx/build/graph-builder.js';
import { copyModel } from '../onnx/copy.js';
import { isStandard } from '../onnx/graph.js';
import type { ModelProto, NodeProto } from '../onnx/schema/onnx_pb.js';
import { setAttribute } from './raise-opset.js';
import { intAttribute } from './rule.js';

/** A copy of the model whose nodes infer, those of subgraphs excepted; tensors share their bytes. */
export function toInferenceMode(model: ModelProto): ModelProto {
  const inference = copyModel(model);
  const { graph } = inference;
  if (graph === undefined) return inference;
  const builder = GraphBuilder.extend(graph);
  const nodes = graph.node;
  graph.node = []; // the builder appends to it
  for (const node of nodes) {
    graph.node.push(node);
    if (!isStandard(node)) continue;
    // Its third input says that it drops.
    if (node.opType === 'Dropout') node.input = node.input.slice(0, 2);
    if (node.opType === 'BatchNormalization') settle(node, builder);
  }
  return inference;
}

/** The updated statistics, outputs in training only, are the learned ones. Before opset 14 they said that it trains. */
function settle(node: NodeProto, builder: GraphBuilder): void {
  if (intAttribute(node, 'training_mode', 0) === 1) setAttribute(node, 'training_mode', 0);
  const updated = node.output.splice(1);
  for (const [index, output] of updated.slice(0, 2).entries()) {
    const statistic = node.input[index + 3] ?? '';
    if (output === '') continue;
    builder.op('Identity', [statistic], {}, { name: `${output}/learned` });
    const added = builder.graph.node.at(-1);
    if (added !== undefined) added.output = [output]; // the name that the rest of the graph knows
  }
}
