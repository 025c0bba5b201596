// Convolutions in ONNX Runtime's blocked layout, [N, C / b, H, W, b] for blocks of b channels: its kernels there reach
// twice the speed of those for the usual layout. The runtime itself lays out only convolutions whose weights are
// constants, which those in training are not; its operators are there, so the graph can name them.
import type { Attributes } from '../onnx/build/attributes.js';
import type { GraphBuilder, NodeInput, Value } from '../onnx/build/graph-builder.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { blocked, importDomain } from './opsets.js';
import type { Blocks } from './rule.js';

/** What adds the nodes. */
export interface BlockedEmitter {
  readonly graph: GraphBuilder;
  readonly blocks: Blocks;
  emit(opType: string, inputs: readonly NodeInput[], attributes?: Attributes): Value;
}

/** The operators of the blocked layout, added to a model's graph under a name. */
export function blocksOf(
  model: ModelProto,
  graph: GraphBuilder,
  { name, size }: { name: string; size: number },
): Blocks {
  return {
    size,
    emit: (opType, inputs, attributes = {}) => {
      importDomain(model, blocked);
      return graph.op(opType, inputs, attributes, { name, domain: blocked });
    },
  };
}

/** A convolution of images [N, C, H, W]. */
export interface BlockedConv {
  readonly x: Value;
  readonly weights: Value;
  /** Of the weights: [M, C / group, height, width]. */
  readonly shape: readonly number[];
  readonly group: number;
  readonly bias?: Value | undefined;
  /** strides, dilations and pads. */
  readonly attributes: Attributes;
}

/** Whether channels fill blocks; depthwise, or without groups. */
export function fillsBlocks({ shape, group }: Pick<BlockedConv, 'shape' | 'group'>, size: number): boolean {
  const [outputs = 0, channels = 0] = shape;
  if (shape.length !== 4 || outputs % size !== 0) return false;
  return group === 1 ? channels % size === 0 || channels < size : group === outputs && channels === 1;
}

/** Adds a convolution that {@link fillsBlocks}, from and to the usual layout. */
export function blockedConv(to: BlockedEmitter, conv: BlockedConv): Value {
  const { size, emit } = to.blocks;
  const { x, shape, group, bias = null, attributes } = conv;
  const [outputs = 0, channels = 0, ...kernel] = shape;
  // Images of fewer channels than a block are read as they are.
  const image = group === 1 && channels < size ? x : emit('ReorderInput', [x]);
  const ones = { strides: [1, 1], dilations: [1, 1] };
  const all = { ...ones, ...attributes, kernel_shape: kernel, group };
  const y = emit('Conv', [image, blockedWeights(to, conv), bias], all);
  return emit('ReorderOutput', [y], { channels: outputs });
}

/** Weights as [M / b, C / b, height, width, b of C, b of M], or with C whole; declared in the shape that they had. */
function blockedWeights({ emit, graph, blocks }: BlockedEmitter, { weights, shape, group }: BlockedConv): Value {
  const { size } = blocks;
  const [outputs = 0, channels = 0, ...kernel] = shape;
  const whole = group > 1 || channels < size;
  const split = [outputs / size, size, ...(whole ? [channels] : [channels / size, size]), ...kernel];
  const apart = emit('Reshape', [weights, graph.int64(split)]);
  const turned = emit('Transpose', [apart], { perm: whole ? [0, 2, 3, 4, 1] : [0, 2, 4, 5, 3, 1] });
  return emit('Reshape', [turned, graph.int64(shape)]);
}

/** What {@link blockedAffine} makes of each channel: factor x + offset + more. */
export interface BlockedAffine {
  readonly channels: number;
  /** [C]. */
  readonly factor: Value;
  /** [C]; 0 if left out. */
  readonly offset?: Value;
  /** In blocks. */
  readonly more?: Value;
}

/** a x + b for each channel, in and of blocks: a depthwise convolution of one pixel, as fast as a Relu. */
export function blockedAffine({ graph, blocks, emit }: BlockedEmitter, x: Value, affine: BlockedAffine): Value {
  const { channels, factor, offset = null, more } = affine;
  const weights = emit('Reshape', [factor, graph.int64([channels, 1, 1, 1])]);
  const window = { kernel_shape: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] };
  return blocks.emit('Conv', [x, weights, offset, ...(more === undefined ? [] : [more])], {
    ...window,
    group: channels,
  });
}
