// Runs that return nothing. onnxruntime-node (1.30) writes outputs into tensors that it is given, and then copies each of
// them into a new one to return: of all gradients, as much memory as the model, and a pass over it. It stops at the first
// output that it cannot return, a sequence, when all outputs are computed; so a model with one in front returns none.
// session.ts tries once whether the runtime at hand does that.
import { create } from '@bufbuild/protobuf';
import { GraphBuilder } from '../onnx/build/graph-builder.js';
import { modelOf } from '../onnx/build/model.js';
import { opsetOf } from '../onnx/opset.js';
import { type ModelProto, NodeProtoSchema, ValueInfoProtoSchema } from '../onnx/schema/onnx_pb.js';

/** The output in front, an empty sequence. */
export const SILENCE = 'secateur.silence';

/** The model with that output; the rest of it is shared. SequenceEmpty needs operator set 11. */
export function withSilence(model: ModelProto): ModelProto {
  const { graph } = model;
  if (graph === undefined || opsetOf(model) < 11) return model;
  const node = create(NodeProtoSchema, { name: SILENCE, opType: 'SequenceEmpty', output: [SILENCE] });
  const floats = { value: { case: 'tensorType', value: { elemType: 1 } } } as const;
  const type = { value: { case: 'sequenceType', value: { elemType: floats } } } as const;
  const output = create(ValueInfoProtoSchema, { name: SILENCE, type });
  return { ...model, graph: { ...graph, node: [...graph.node, node], output: [output, ...graph.output] } };
}

/** y = x + x, to try it with. */
export function silentSum(): ModelProto {
  const graph = GraphBuilder.create('silent');
  const x = graph.input('x', 'float32', [1]);
  graph.output(graph.op('Add', [x, x], {}, { outputs: ['y'] }), 'float32', [1]);
  return withSilence(modelOf(graph.graph, { opset: 13 }));
}
