// The layers that the three architectures share, as ONNX nodes with seeded weights. Parameters are named as the scope
// and what they are (`stage1.block2.conv1.weight`). BatchNormalization stays a node of its own, since training needs
// it; runtimes fold it into the convolution when they load the model for inference.
import { float } from '../src/onnx/build/attributes.js';
import type { GraphBuilder, Value } from '../src/onnx/build/graph-builder.js';

/** Where the numbers of the parameters come from: a seed (weights.ts) or a file (darknet/). */
export interface ParameterSource {
  /** Weights of shape [outputs, ...inputs]; `gain` belongs to the activation that follows, as He et al. have it. */
  weights(shape: readonly number[], gain: number): Float32Array;
  /** A vector of one number a channel; `initial` is what an untrained one is filled with. */
  vector(kind: VectorKind, length: number, initial: number): Float32Array;
}

export type VectorKind = 'bias' | 'scale' | 'mean' | 'variance';

/** A value of shape [N, channels, H, W] or [N, channels]. */
export interface Feature {
  readonly value: Value;
  readonly channels: number;
}

export type Activation = 'linear' | 'relu' | 'leakyRelu' | 'mish' | 'logistic' | 'swish';

/** Slope of LeakyRelu for negative inputs, as in Darknet. */
const leakySlope = 0.1;

// He's gain 2 / (1 + slope^2). Mish has no closed form; with 2 its output keeps 0.95 of the second moment. The last two
// come from files only (darknet/).
const gains: Readonly<Record<Activation, number>> = {
  linear: 1,
  relu: 2,
  leakyRelu: 2 / (1 + leakySlope ** 2),
  mish: 2,
  logistic: 1,
  swish: 2,
};

export interface ConvOptions {
  /** The layer's name in the scope. */
  name: string;
  /** Output channels. */
  filters: number;
  /** Side of the square kernel. */
  kernel: number;
  /** @default 1 */
  stride?: number;
  /** Zero padding on each side. @default half of the kernel, rounded down: keeps H and W at stride 1 */
  pad?: number;
  /** Groups of channels, each convolved by itself. @default 1 */
  groups?: number;
  /** Add a bias, initially 0. @default false */
  bias?: boolean;
  /** What follows the layer; sets the scale of the initial weights. @default 'linear' */
  activation?: Activation;
  /** Exact name of the output value, for an output of the graph. */
  output?: string;
}

export interface ConvBlockOptions extends Omit<ConvOptions, 'bias' | 'output'> {
  /** Initial scale of the BatchNormalization. @default 1 */
  scale?: number;
}

/** Adds layers to a graph. Values are [N, C, H, W]. */
export class LayerBuilder {
  readonly graph: GraphBuilder;
  readonly #parameters: ParameterSource;

  constructor(graph: GraphBuilder, parameters: ParameterSource) {
    this.graph = graph;
    this.#parameters = parameters;
  }

  /** The same model under a longer prefix of names. */
  scope(name: string): LayerBuilder {
    return new LayerBuilder(this.graph.scope(name), this.#parameters);
  }

  /** Convolution with weights [filters, channels / groups, kernel, kernel]. */
  conv(x: Feature, options: ConvOptions): Feature {
    const { name, filters, kernel, stride = 1, pad = Math.floor(kernel / 2), groups = 1, bias = false } = options;
    const shape = [filters, x.channels / groups, kernel, kernel];
    const weights = this.#parameters.weights(shape, gains[options.activation ?? 'linear']);
    const inputs = [x.value, this.graph.initializer(`${name}.weight`, shape, weights)];
    if (bias) inputs.push(this.#vector(name, 'bias', filters, 0));
    const attributes = {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
      group: groups === 1 ? undefined : groups,
    };
    const outputs = options.output === undefined ? {} : { outputs: [options.output] };
    return { value: this.graph.op('Conv', inputs, attributes, { name, ...outputs }), channels: filters };
  }

  /** Normalisation over the batch: scale as given, bias 0, running mean 0, running variance 1. */
  batchNorm(x: Feature, name: string, scale = 1): Feature {
    const inputs = [
      x.value,
      this.#vector(name, 'scale', x.channels, scale),
      this.#vector(name, 'bias', x.channels, 0),
      this.#vector(name, 'mean', x.channels, 0),
      this.#vector(name, 'variance', x.channels, 1),
    ];
    return { ...x, value: this.graph.op('BatchNormalization', inputs, { epsilon: float(1e-5) }, { name }) };
  }

  /** Fully connected: y = x W^T + b with weights [outputs, channels] and x of shape [N, channels]. */
  linear(x: Feature, options: { name: string; outputs: number; activation?: Activation; output?: string }): Feature {
    const { name, outputs, output, activation = 'linear' } = options;
    const shape = [outputs, x.channels];
    const inputs = [
      x.value,
      this.graph.initializer(`${name}.weight`, shape, this.#parameters.weights(shape, gains[activation])),
      this.#vector(name, 'bias', outputs, 0),
    ];
    const value = this.graph.op('Gemm', inputs, { transB: 1 }, { name, ...(output && { outputs: [output] }) });
    return { value, channels: outputs };
  }

  activate(x: Feature, activation: Activation): Feature {
    switch (activation) {
      case 'linear':
        return x;
      case 'relu':
        return { ...x, value: this.graph.op('Relu', [x.value]) };
      case 'leakyRelu':
        return { ...x, value: this.graph.op('LeakyRelu', [x.value], { alpha: float(leakySlope) }) };
      case 'mish':
        return { ...x, value: mish(this.graph.scope('mish'), x.value) };
      case 'logistic':
        return { ...x, value: this.graph.op('Sigmoid', [x.value]) };
      case 'swish':
        return { ...x, value: this.graph.op('Mul', [x.value, this.graph.op('Sigmoid', [x.value])]) };
    }
  }

  /** Convolution without bias (`NAME`), BatchNormalization (`NAME.norm`) and activation. */
  convBlock(x: Feature, { scale, ...options }: ConvBlockOptions): Feature {
    const convolved = this.conv(x, options);
    const inner = this.scope(options.name);
    return inner.activate(inner.batchNorm(convolved, 'norm', scale), options.activation ?? 'linear');
  }

  /** Maximum over square windows. */
  maxPool(x: Feature, kernel: number, stride: number, pad = 0): Feature {
    const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad] };
    return { ...x, value: this.graph.op('MaxPool', [x.value], attributes) };
  }

  add(a: Feature, b: Feature): Feature {
    return { ...a, value: this.graph.op('Add', [a.value, b.value]) };
  }

  /** Joins along the channels. */
  concat(features: readonly Feature[]): Feature {
    const values = features.map((feature) => feature.value);
    const value = this.graph.op('Concat', values, { axis: 1 });
    return { value, channels: features.reduce((sum, feature) => sum + feature.channels, 0) };
  }

  /** The channels from `start` up to, but not including, `end`. */
  channelRange({ value }: Feature, start: number, end: number): Feature {
    const [starts, ends, axes] = [this.graph.int64([start]), this.graph.int64([end]), this.graph.int64([1])];
    return { value: this.graph.op('Slice', [value, starts, ends, axes]), channels: end - start };
  }

  /** Each value repeated `factor` times along the height and the width. */
  upsample(x: Feature, factor: number): Feature {
    const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
    const scales = this.graph.float32([1, 1, factor, factor]);
    return { ...x, value: this.graph.op('Resize', [x.value, null, scales], attributes) };
  }

  #vector(scope: string, kind: VectorKind, length: number, initial: number): Value {
    return this.graph.initializer(`${scope}.${kind}`, [length], this.#parameters.vector(kind, length, initial));
  }
}

// mish(x) = x tanh(softplus(x)) = x n / (n + 2) with n = e^2 + 2 e and e = exp(x). Above 20 the factor is 1 in float32, so
// exp never overflows. The runtime expands its own Mish operator into Softplus, Tanh and Mul, whose logarithm is slow:
// YOLOv4 at 416 x 416 takes 415 ms with it and 196 ms with this form (onnxruntime-node 1.30, 2 threads, AVX-512), which
// is no less accurate (relative error 2.3e-7 against 3.8e-7) and needs no operator set later than 13.
function mish(graph: GraphBuilder, x: Value): Value {
  const e = graph.op('Exp', [graph.op('Clip', [x, null, graph.float32(20)])]);
  const two = graph.float32(2);
  const n = graph.op('Mul', [e, graph.op('Add', [e, two])]);
  return graph.op('Mul', [x, graph.op('Div', [n, graph.op('Add', [n, two])])]);
}
