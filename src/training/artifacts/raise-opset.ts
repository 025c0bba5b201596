// Raises a model's operator set to 17, where ScatterElements can add and LayerNormalization exists. Between 13 and 17 no
// operator that has a gradient here changed its meaning; what 13 changed is converted.
import { clone } from '@bufbuild/protobuf';
import { opsetOf } from '../../autodiff/opsets.js';
import { intAttribute } from '../../autodiff/rule.js';
import { SecateurError } from '../../errors.js';
import { GraphBuilder } from '../../onnx/build/graph-builder.js';
import { isStandard } from '../../onnx/graph.js';
import { type ModelProto, ModelProtoSchema, type NodeProto } from '../../onnx/schema/onnx_pb.js';

const RAISED = 17;
const OLDEST = 11;

/** Operators that since opset 13 take as input 1 what was an attribute. */
const becameInput: Readonly<Record<string, string>> = {
  ReduceSum: 'axes',
  Squeeze: 'axes',
  Unsqueeze: 'axes',
  Split: 'split',
};

/**
 * A copy of the model with opset 17, or the model itself where it has that or a later one.
 *
 * @throws SecateurError UNSUPPORTED where the opset is before 11, or a Softmax before 13 is not over the last axis for sure.
 */
export function raiseOpset(model: ModelProto): ModelProto {
  const opset = opsetOf(model);
  if (opset >= RAISED) return model;
  if (opset < OLDEST) {
    throw new SecateurError('UNSUPPORTED', `Expected a training model of opset ${OLDEST} or later, got ${opset}`);
  }
  const copy = clone(ModelProtoSchema, model);
  const { graph } = copy;
  if (graph !== undefined && opset < 13) {
    const builder = GraphBuilder.extend(graph);
    const nodes = graph.node;
    graph.node = [];
    for (const node of nodes) {
      convert(builder, node);
      graph.node.push(node);
    }
  }
  for (const set of copy.opsetImport) if (set.domain === '' || set.domain === 'ai.onnx') set.version = BigInt(RAISED);
  return copy;
}

function convert(builder: GraphBuilder, node: NodeProto): void {
  if (!isStandard(node)) return;
  if (['Softmax', 'LogSoftmax'].includes(node.opType) && intAttribute(node, 'axis', 1) !== -1) {
    throw new SecateurError(
      'UNSUPPORTED',
      `Expected ${node.opType} (${node.name}) before opset 13 to be over axis -1; export the model with opset 13 or later`,
    );
  }
  const name = becameInput[node.opType];
  const attribute = node.attribute.find((each) => each.name === name);
  if (attribute === undefined) return;
  node.attribute = node.attribute.filter((each) => each !== attribute);
  node.input = [node.input[0] ?? '', builder.int64(attribute.ints.map(Number))];
}
