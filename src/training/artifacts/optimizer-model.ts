// optimizer_model.onnx: one node that updates all parameters in place, over sequences of tensors. Only the official
// runtime runs it; here it is a record of the optimizer's settings, written and read.
import { create } from '@bufbuild/protobuf';
import { contrib } from '../../autodiff/opsets.js';
import { floatAttribute, intAttribute } from '../../autodiff/rule.js';
import { invalidOption, SecateurError } from '../../errors.js';
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
import { checkKeys, checkNumber } from '../../options.js';
import type { AdamOptions, SgdOptions } from '../optimizer.js';

type Settings<Options> = Omit<Options, 'type' | 'learningRate' | 'threads'>;

/** AdamW by the defaults of the official tool, which are not PyTorch's: epsilon 1e-6, no decay, form `runtime`. */
export interface ArtifactAdamW extends Settings<AdamOptions> {
  readonly type: 'adamw';
}

/** Plain: the official operator has neither momentum nor decay. */
export interface ArtifactSgd extends Pick<SgdOptions, 'maxGradientNorm'> {
  readonly type: 'sgd';
}

/** An optimizer that an optimizer model can say. Its learning rate is the checkpoint's. */
export type ArtifactOptimizer = ArtifactAdamW | ArtifactSgd;

const ADAMW = ['type', 'beta1', 'beta2', 'epsilon', 'weightDecay', 'correctBias', 'form', 'maxGradientNorm'];
const SGD = ['type', 'maxGradientNorm'];
const OPSET = 14;
const CLIP = 'InplaceClipGradNorm';
const MOMENTS = ['first_order_moments', 'second_order_moments'];

/**
 * The model for an optimizer, with the inputs that the official runtime insists on, in its order.
 *
 * @throws SecateurError INVALID_OPTION where the official operators have no such setting.
 */
export function optimizerModel(optimizer: ArtifactOptimizer): ModelProto {
  if (optimizer.type !== 'adamw' && optimizer.type !== 'sgd') {
    throw invalidOption(
      'optimizer',
      '"adamw" or "sgd", which artifacts can say',
      (optimizer as { type?: unknown }).type,
    );
  }
  checkKeys(`option of ${optimizer.type} in artifacts`, Object.keys(optimizer), optimizer.type === 'sgd' ? SGD : ADAMW);
  const { maxGradientNorm = 0 } = optimizer;
  checkNumber('maxGradientNorm', maxGradientNorm, { least: 0, below: Number.POSITIVE_INFINITY });
  const g = GraphBuilder.create('optimizer');
  const rate = g.input('learning_rate', 'float32', [1]);
  const step = g.input('step', 'int64', [1]);
  const moments = optimizer.type === 'sgd' ? MOMENTS.slice(0, 1) : MOMENTS;
  for (const name of ['params', 'gradients', ...moments]) g.graph.input.push(sequenceInfo(name));
  const clip = { max_norm: float(maxGradientNorm), norm_type: 'fro' };
  const gradients = maxGradientNorm > 0 ? g.op(CLIP, ['gradients'], clip, { domain: contrib }) : 'gradients';
  const options = { name: 'optimizer', domain: contrib, outputs: ['updated'] };
  if (optimizer.type === 'sgd') {
    // Declared as a scalar, which the operator says it is: with [1], which it makes, the runtime refuses to load it.
    g.output(g.op('SGDOptimizerV2', [rate, 'params', gradients], {}, options), 'bool', []);
  } else {
    const inputs = [rate, step, 'params', gradients, ...moments];
    g.output(g.op('AdamWOptimizer', inputs, adamAttributes(optimizer), options), 'bool', [1]);
  }
  return modelOf(g.graph, { opset: OPSET, domains: { [contrib]: 1 } });
}

function sequenceInfo(name: string): ValueInfoProto {
  const elemType = { value: { case: 'tensorType' as const, value: { elemType: TensorProto_DataType.FLOAT } } };
  return create(ValueInfoProtoSchema, { name, type: { value: { case: 'sequenceType', value: { elemType } } } });
}

function adamAttributes(optimizer: ArtifactAdamW) {
  const {
    beta1 = 0.9,
    beta2 = 0.999,
    epsilon = 1e-6,
    weightDecay = 0,
    correctBias = true,
    form = 'runtime',
  } = optimizer;
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
