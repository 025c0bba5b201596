// The gradient of a convolution's weights as a convolution in the runtime's blocked layout: the batch takes the place of
// the channels, and dY that of the kernel. Nothing is multiplied by copies of X, so this is faster than patches
// (weight-gradient.ts) where the batch fills blocks.
import type { Value } from '../../../onnx/build/graph-builder.js';
import { type Blocks, input, type RuleContext } from '../../rule.js';
import { at, type Geometry, product, span } from './geometry.js';

// Batches of larger images than this are small, and a block of them would be mostly padding.
const mostPixels = 64 * 64;

/** Whether {@link blockedWeightGradient} is there and faster. */
export function blocksBatch(c: RuleContext, { space, kernel, dilations, group }: Geometry): boolean {
  const [outputs = 0] = c.facts(input(c, 1)).shape;
  if (c.blocks === undefined || space.length !== 2 || group !== 1 || at(dilations, 1) > 1) return false;
  // A kernel of one pixel needs no copies for patches.
  return outputs % c.blocks.size === 0 && product(kernel) > 1 && product(space) <= mostPixels;
}

// dW[m, c] = sum over n of X[n, c] * dY[n, m], where * slides dY over X; strides and dilations trade places.
// A row of such a result is as short as a row of the kernel, and the runtime's inner loop takes six pixels of a row at
// once. So the channels lie between the columns of X, and dY slides by all of them: one long row for them together.
// Measured on 1 thread for [128,16,32,32], [128,32,16,16] and [128,64,8,8], 3 x 3: 70, 89 and 102 GFLOP/s from values in
// blocks, 61, 79 and 94 from others; with an image for each channel 49, 72 and 77.
export function blockedWeightGradient(c: RuleContext, geometry: Geometry, blocks: Blocks): Value {
  const { kernel, strides, dilations, pads, result } = geometry;
  const [outputs = 0, channels = 0] = c.facts(input(c, 1)).shape;
  const lanes = channels % blocks.size === 0 ? blocks.size : channels;
  const missing = missingToBlock(c, blocks);
  const images = interleavedImages(c, geometry, { lanes, missing, blocks });
  const attributes = {
    kernel_shape: result,
    strides: [at(dilations, 0), 1],
    dilations: [at(strides, 0), at(strides, 1) * lanes],
    // Lines of padding are passed over, but columns would leave the inner loop.
    pads: [at(pads, 0), 0, Math.max(0, missingAtEnd(geometry, 0)), 0],
    group: 1,
  };
  const all = blocks.emit('Conv', [images, slidingKernel(c, missing, blocks), null], attributes);
  const usual = blocks.emit('ReorderOutput', [all], { channels: outputs });
  const apart = c.emit('Reshape', [usual, c.graph.int64([channels / lanes, outputs, ...kernel, lanes])]);
  const turned = c.emit('Transpose', [apart], { perm: [1, 0, 4, 2, 3] });
  return c.emit('Reshape', [turned, c.graph.int64([outputs, channels, ...kernel])]);
}

/** How many samples the batch is short of whole blocks: int64 [1], known when run. */
function missingToBlock(c: RuleContext, { size }: Blocks): Value {
  const batch = c.emit('Gather', [c.emit('Shape', [c.dY]), c.graph.int64([0])]);
  return c.emit('Mod', [c.emit('Neg', [batch]), c.graph.int64([size])]);
}

/** What X is short of what the windows reach along an axis, beside the padding at its begin; below 0, it has more. */
function missingAtEnd({ space, kernel, strides, dilations, pads, result }: Geometry, i: number): number {
  return span(kernel, dilations, i) + (at(result, i) - 1) * at(strides, i) - at(space, i) - at(pads, i);
}

/** X in blocks of samples, [C / lanes, N, height, width lanes], with zeros for missing samples and columns. */
function interleavedImages(
  c: RuleContext,
  geometry: Geometry,
  { lanes, missing, blocks }: { lanes: number; missing: Value; blocks: Blocks },
): Value {
  const [height = 0, width = 0] = geometry.space;
  const [, channels = 0] = c.facts(input(c, 1)).shape;
  const planes = channels / lanes;
  const x = input(c, 0);
  const pixels =
    lanes === blocks.size ? blocks.emit('ReorderInput', [x]) : c.emit('Transpose', [x], { perm: [0, 2, 3, 1] });
  const rows = c.emit('Reshape', [pixels, c.graph.int64([-1, planes, height, width * lanes])]);
  const begins = c.graph.int64([0, 0, 0, at(geometry.pads, 1) * lanes]);
  const cut = Math.min(0, missingAtEnd(geometry, 0));
  const ends = c.graph.int64([0, cut, missingAtEnd(geometry, 1) * lanes]);
  const padded = c.emit('Pad', [rows, c.emit('Concat', [begins, missing, ends], { axis: 0 })]);
  // A Transpose copies even where it changes nothing.
  const apart =
    planes === 1
      ? c.emit('Reshape', [
          padded,
          c.graph.int64([1, -1, height + cut, (width + at(geometry.pads, 1) + missingAtEnd(geometry, 1)) * lanes]),
        ])
      : c.emit('Transpose', [padded], { perm: [1, 0, 2, 3] });
  return blocks.emit('ReorderInput', [apart]);
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
