// The official training graph made one that the stock runtime runs: gradients are outputs, their accumulation is left to
// the trainer, and all operators of the training builds are lowered.

import { declareSizes } from '../../autodiff/parameter-inputs.js';
import { raiseOpset } from '../../autodiff/raise-opset.js';
import type { ValueFacts } from '../../autodiff/rule.js';
import { SecateurError } from '../../errors.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import { valueInfo } from '../../onnx/build/tensors.js';
import { copyModel } from '../../onnx/copy.js';
import type { GraphProto, ModelProto, NodeProto } from '../../onnx/schema/onnx_pb.js';
import { type InputShapes, probeShapes } from '../probe.js';
import { isUnknown, loweringOf } from './lower/index.js';
import { labelOf } from './lower/lowering.js';
import { rewrite } from './lower/rewrite.js';
import { ACCUMULATOR, LAZY_RESET, parameterOfBuffer } from './names.js';

export interface LoweredGraph {
  /** Inputs: users' inputs and parameters. Outputs: the original ones without flags, then the gradients. */
  readonly model: ModelProto;
  /** Gradient outputs by parameter. */
  readonly gradients: ReadonlyMap<Value, Value>;
  readonly shapes: ReadonlyMap<Value, ValueFacts>;
}

/**
 * Lowers a training graph; the model itself is not changed.
 *
 * @throws SecateurError UNSUPPORTED with all operators that cannot be lowered; INVALID_MODEL where nothing is
 *   accumulated; as {@link probeShapes}.
 */
export async function lowerTrainingGraph(model: ModelProto, inputShapes?: InputShapes): Promise<LoweredGraph> {
  refuseUnknown(model.graph?.node ?? []);
  const { model: plain, gradients } = withoutAccumulators(model);
  return { ...(await lowerOperators(plain, inputShapes)), gradients };
}

/** The same of a graph without accumulators: a copy of the model in which every operator is the stock runtime's. */
export async function lowerOperators(model: ModelProto, inputShapes?: InputShapes) {
  const raised = copyModel(model);
  raiseOpset(raised);
  const probe = rewrite(raised, new Map(), (c) => loweringOf(c.node)?.standIn(c));
  const shapes = await probeShapes(probe, inputShapes);
  const lowered = rewrite(raised, shapes, (c) => loweringOf(c.node)?.lower(c));
  if (lowered.graph !== undefined) declareSizes(lowered.graph, shapes);
  return { model: lowered, shapes };
}

function refuseUnknown(nodes: readonly NodeProto[]): void {
  const unknown = nodes.filter((node) => node.opType !== ACCUMULATOR && isUnknown(node));
  if (unknown.length === 0) return;
  const list = unknown.map((node) => `${node.domain}.${node.opType} (${labelOf(node)})`).join(', ');
  throw new SecateurError('UNSUPPORTED', `Expected operators that can be lowered to the stock runtime's, got ${list}`);
}

/** A copy whose outputs are gradients in the place of flags that say that buffers were added to. */
function withoutAccumulators(model: ModelProto): { model: ModelProto; gradients: Map<Value, Value> } {
  const copy = copyModel(model);
  const { graph } = copy;
  if (graph === undefined) throw new SecateurError('INVALID_MODEL', 'Expected a training model with a graph, got none');
  const gradients = new Map<Value, Value>();
  const flags = new Set<Value>();
  for (const { opType, input, output } of graph.node) {
    const parameter = opType === ACCUMULATOR ? parameterOfBuffer(input[0] ?? '') : undefined;
    if (parameter === undefined) continue;
    gradients.set(parameter, input[1] ?? '');
    flags.add(output[0] ?? '');
  }
  if (gradients.size === 0) {
    throw new SecateurError('INVALID_MODEL', 'Expected a training model that accumulates gradients, got none');
  }
  graph.node = graph.node.filter(({ opType }) => opType !== ACCUMULATOR);
  graph.output = [...graph.output.filter(({ name }) => !flags.has(name)), ...gradientOutputs(graph, gradients)];
  graph.input = graph.input.filter(({ name }) => name !== LAZY_RESET && parameterOfBuffer(name) === undefined);
  // Written for the official build's operators, and wrong where a lowering names values anew.
  graph.valueInfo = [];
  return { model: copy, gradients };
}

/** Declared as the parameters are. */
function gradientOutputs(graph: GraphProto, gradients: ReadonlyMap<Value, Value>) {
  return [...gradients].map(([parameter, gradient]) => {
    const declared = graph.input.find(({ name }) => name === parameter)?.type?.value;
    const dims = declared?.case === 'tensorType' ? declared.value.shape?.dim : undefined;
    return valueInfo(gradient, 'float32', dims?.map(({ value }) => Number(value.value ?? 0)) ?? []);
  });
}
