// The gradient of a convolution's weights as a convolution in the runtime's blocked layout: the batch takes the place of
// the channels, and dY that of the kernel. Nothing is multiplied by copies of X, so this is faster than patches
// (weight-gradient.ts) where the batch fills blocks.
import type { Value } from '../../../onnx/build/graph-builder.js';
import { type Blocks, input, type RuleContext } from '../../rule.js';
import { at, type Geometry, product, span } from './geometry.js';

// Batches of larger images than this are small, and a block of them would be mostly padding.
const mostPixels = 64 * 64;

/** Whether {@link blockedWeightGradient} is there and faster. */
export function blocksBatch(c: RuleContext, { space, kernel, group }: Geometry): boolean {
  const [outputs = 0] = c.facts(input(c, 1)).shape;
  if (c.blocks === undefined || space.length !== 2 || group !== 1) return false;
  // A kernel of one pixel needs no copies for patches.
  return outputs % c.blocks.size === 0 && product(kernel) > 1 && product(space) <= mostPixels;
}

// dW[m, c] = sum over n of X[n, c] * dY[n, m], where * slides dY over X; strides and dilations trade places.
export function blockedWeightGradient(c: RuleContext, geometry: Geometry, blocks: Blocks): Value {
  const { kernel, strides, dilations, result } = geometry;
  const [outputs = 0] = c.facts(input(c, 1)).shape;
  const missing = missingToBlock(c, blocks);
  const images = blocks.emit('ReorderInput', [paddedImages(c, geometry, missing)]);
  const attributes = { kernel_shape: result, strides: dilations, dilations: strides, pads: [0, 0, 0, 0], group: 1 };
  const all = blocks.emit('Conv', [images, slidingKernel(c, missing, blocks), null], attributes);
  const usual = blocks.emit('ReorderOutput', [all], { channels: outputs });
  return c.emit('Transpose', [usual], { perm: [1, 0, ...kernel.map((_, index) => index + 2)] });
}

/** How many samples the batch is short of whole blocks: int64 [1], known when run. */
function missingToBlock(c: RuleContext, { size }: Blocks): Value {
  const batch = c.emit('Gather', [c.emit('Shape', [c.dY]), c.graph.int64([0])]);
  return c.emit('Mod', [c.emit('Neg', [batch]), c.graph.int64([size])]);
}

/** X as [C, N, H, W] with zeros for missing samples, and padded or cut to what the windows reach. */
function paddedImages(c: RuleContext, { space, kernel, strides, dilations, pads, result }: Geometry, missing: Value) {
  const ends = space.map((size, i) => {
    const reached = span(kernel, dilations, i) + (at(result, i) - 1) * at(strides, i);
    return reached - size - at(pads, i);
  });
  const begins = c.graph.int64([0, 0, ...pads.slice(0, space.length), 0]);
  const amounts = c.emit('Concat', [begins, missing, c.graph.int64(ends)], { axis: 0 });
  return c.emit('Pad', [c.emit('Transpose', [input(c, 0)], { perm: [1, 0, 2, 3] }), amounts]);
}

/** dY, [N, M, height, width], as blocked weights [M / b, N / b, pixels, b of N, b of M], declared as [M, N, ...]. */
function slidingKernel(c: RuleContext, missing: Value, { size, emit }: Blocks): Value {
  const [, outputs = 0, ...result] = c.facts(c.outputs[0] ?? '').shape;
  const zeros = (count: number) => c.graph.int64(new Array<number>(count).fill(0));
  const blocks = emit('ReorderInput', [c.dY]);
  const amounts = c.emit('Concat', [zeros(4), missing, zeros(3)], { axis: 0 });
  const whole = c.emit('Pad', [blocks, amounts]);
  const apart = c.emit('Reshape', [whole, c.graph.int64([-1, size, outputs / size, product(result), size])]);
  const turned = c.emit('Transpose', [apart], { perm: [2, 0, 3, 1, 4] });
  return c.emit('Reshape', [turned, c.graph.int64([outputs, -1, ...result])]);
}
