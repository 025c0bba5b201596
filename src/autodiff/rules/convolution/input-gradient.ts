// The gradient of a convolution's input: dY spread through the kernel, as a ConvTranspose, or as a Conv with the kernel
// turned round.
import type { Value } from '../../../onnx/build/graph-builder.js';
import { blockedConv, fillsBlocks } from '../../blocked-layout.js';
import { input, type RuleContext } from '../../rule.js';
import { type Geometry, paddedLength, product, reach, span } from './geometry.js';

export function inputGradient(c: RuleContext, geometry: Geometry): Value {
  return turnedIsFaster(c, geometry) ? turnedConv(c, geometry) : convTranspose(c, geometry);
}

// The runtime's Conv does about 1.5 times as many operations in a second as its ConvTranspose, which adds overlapping
// columns up on one thread. But at its borders the turned Conv multiplies by padding that ConvTranspose never sees. With
// groups it has no advantage, unless it is in the blocked layout.
function turnedIsFaster(c: RuleContext, geometry: Geometry): boolean {
  const { space, kernel, strides, dilations, pads, result, group } = geometry;
  const possible = pads.every((pad, i) => pad < span(kernel, dilations, i % space.length));
  const grouped = group > 1 && !blocked(c, group);
  return possible && !grouped && strides.every((s) => s === 1) && product(space) < 1.5 * product(result);
}

/** Whether the turned Conv can be in the blocked layout. */
function blocked(c: RuleContext, group: number): boolean {
  return c.blocks !== undefined && fillsBlocks({ shape: turnedShape(c, group), group }, c.blocks.size);
}

function turnedShape(c: RuleContext, group: number): readonly number[] {
  const [outputs = 0, channels = 0, ...kernel] = c.facts(input(c, 1)).shape;
  return [channels * group, outputs / group, ...kernel];
}

// dX = dY * W', where W' has input and output channels swapped and lies the other way round on every axis of space.
function turnedConv(c: RuleContext, { space, kernel, dilations, pads, group }: Geometry): Value {
  const axes = space.map((_, index) => index + 2);
  const minus = c.graph.int64(axes.map(() => -1));
  const ends = c.graph.int64(axes.map(() => -(2 ** 31)));
  const reversed = c.emit('Slice', [input(c, 1), minus, ends, c.graph.int64(axes), minus]);
  // Depthwise both channels are in their places.
  const turned = group > 1 ? reversed : c.emit('Transpose', [reversed], { perm: [1, 0, ...axes] });
  const full = pads.map((pad, index) => span(kernel, dilations, index % space.length) - 1 - pad);
  const { blocks } = c;
  if (blocks === undefined || !blocked(c, group)) {
    return c.emit('Conv', [c.dY, turned], { dilations, pads: full, kernel_shape: kernel });
  }
  const shape = turnedShape(c, group);
  return blockedConv(
    { graph: c.graph, emit: c.emit, blocks },
    { x: c.dY, weights: turned, shape, group, attributes: { dilations, pads: full } },
  );
}

function convTranspose(c: RuleContext, geometry: Geometry): Value {
  const { space, kernel, strides, dilations, pads, group } = geometry;
  // Lines at the end that no window reached.
  const output_padding = space.map((_, i) => paddedLength(geometry, i) - reach(geometry, i));
  const attributes = { strides, dilations, pads, group, output_padding, kernel_shape: kernel };
  return c.emit('ConvTranspose', [c.dY, input(c, 1)], attributes);
}
