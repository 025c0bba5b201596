// optimizer_model.onnx: one node that updates all parameters in place, over sequences of tensors. Only the official
// runtime runs it; here it is a record of the optimizer's settings, written and read.
import { create } from '@bufbuild/protobuf';
import { floatAttribute, intAttribute } from '../../autodiff/rule.js';
import { SecateurError } from '../../errors.js';
import { float } from '../../onnx/build/attributes.js';
import { GraphBuilder } from '../../onnx/build/graph-builder.js';
import { modelOf } from '../../onnx/build/model.js';
import {
  type ModelProto,
  type NodeProto,
  TensorProto_DataType,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../../onnx/schema/onnx_pb.js';
import type { AdamOptions, SgdOptions } from '../optimizer.js';
import { MICROSOFT } from './names.js';

/** An optimizer that an optimizer model can say. The learning rate is the checkpoint's. */
export type ArtifactOptimizer =
  | Omit<AdamOptions, 'learningRate' | 'threads'>
  | Omit<SgdOptions, 'learningRate' | 'threads'>;

const OPSET = 14;
const CLIP = 'InplaceClipGradNorm';
const MOMENTS = ['first_order_moments', 'second_order_moments'];

/** The model for an optimizer, with the inputs that the official runtime insists on, in its order. */
export function optimizerModel(optimizer: ArtifactOptimizer): ModelProto {
  const g = GraphBuilder.create('optimizer');
  const rate = g.input('learning_rate', 'float32', [1]);
  const step = g.input('step', 'int64', [1]);
  const sequences = ['params', 'gradients', ...(optimizer.type === 'sgd' ? MOMENTS.slice(0, 1) : MOMENTS)];
  for (const name of sequences) g.graph.input.push(sequenceInfo(name));
  const options = { name: 'optimizer', domain: MICROSOFT, outputs: ['updated'] };
  const updated =
    optimizer.type === 'sgd'
      ? g.op('SGDOptimizerV2', [rate, 'params', 'gradients'], {}, options)
      : g.op('AdamWOptimizer', [rate, step, ...sequences], adamAttributes(optimizer), options);
  g.output(updated, 'bool', optimizer.type === 'sgd' ? [] : [1]);
  return modelOf(g.graph, { opset: OPSET, domains: { [MICROSOFT]: 1 } });
}

function sequenceInfo(name: string): ValueInfoProto {
  const elemType = { value: { case: 'tensorType' as const, value: { elemType: TensorProto_DataType.FLOAT } } };
  return create(ValueInfoProtoSchema, { name, type: { value: { case: 'sequenceType', value: { elemType } } } });
}

function adamAttributes({
  beta1 = 0.9,
  beta2 = 0.999,
  epsilon = 1e-6,
  weightDecay = 0,
  correctBias = true,
  form = 'runtime',
}: Omit<AdamOptions, 'learningRate' | 'threads'>) {
  return {
    alpha: float(beta1),
    beta: float(beta2),
    epsilon: float(epsilon),
    weight_decay: float(weightDecay),
    correct_bias: correctBias ? 1 : 0,
    adam_mode: form === 'runtime' ? 1 : 0,
  };
}

/**
 * The settings in an optimizer model.
 *
 * @throws SecateurError UNSUPPORTED where it has other than one AdamW or SGD node, with or without clipping.
 */
export function readOptimizerModel({ graph }: ModelProto): ArtifactOptimizer {
  const nodes = graph?.node ?? [];
  const clip = nodes.find(({ opType }) => opType === CLIP);
  const [node, ...others] = nodes.filter((each) => each !== clip);
  const clipping = clip === undefined ? {} : { maxGradientNorm: floatAttribute(clip, 'max_norm', 1) };
  if (node?.opType === 'SGDOptimizerV2' && others.length === 0) return { type: 'sgd', ...clipping };
  if (node?.opType === 'AdamWOptimizer' && others.length === 0) return { ...adamSettings(node), ...clipping };
  const got = nodes.map(({ opType }) => opType).join(', ') || 'no nodes';
  throw new SecateurError(
    'UNSUPPORTED',
    `Expected the optimizer model to be one AdamWOptimizer or SGDOptimizerV2, got ${got}`,
  );
}

/** The defaults are those of the operator, which differ from the official tool's and from PyTorch's. */
function adamSettings(node: NodeProto): ArtifactOptimizer {
  return {
    type: 'adamw',
    beta1: floatAttribute(node, 'alpha', 0.9),
    beta2: floatAttribute(node, 'beta', 0.999),
    epsilon: floatAttribute(node, 'epsilon', 1e-8),
    weightDecay: floatAttribute(node, 'weight_decay', 1e-2),
    correctBias: intAttribute(node, 'correct_bias', 1) === 1,
    form: intAttribute(node, 'adam_mode', 0) === 1 ? 'runtime' : 'torch',
  };
}
