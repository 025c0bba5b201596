// The gradient of a convolution's input: dY spread through the kernel, as a ConvTranspose, or as a Conv with the kernel
// turned round.
import type { Value } from '../../../onnx/build/graph-builder.js';
import { input, type RuleContext } from '../../rule.js';
import { type Geometry, paddedLength, product, reach, span } from './geometry.js';

export function inputGradient(c: RuleContext, geometry: Geometry): Value {
  return turnedIsFaster(geometry) ? turnedConv(c, geometry) : convTranspose(c, geometry);
}

// The runtime's Conv does about 1.5 times as many operations in a second as its ConvTranspose, which adds overlapping
// columns up on one thread. But at its borders the turned Conv multiplies by padding that ConvTranspose never sees.
function turnedIsFaster({ space, kernel, strides, dilations, pads, result, group }: Geometry): boolean {
  const possible = pads.every((pad, i) => pad < span(kernel, dilations, i % space.length));
  return possible && group === 1 && strides.every((s) => s === 1) && product(space) < 1.5 * product(result);
}

// dX = dY * W', where W' has input and output channels swapped and lies the other way round on every axis of space.
function turnedConv(c: RuleContext, { space, kernel, dilations, pads }: Geometry): Value {
  const axes = space.map((_, index) => index + 2);
  const minus = c.graph.int64(axes.map(() => -1));
  const ends = c.graph.int64(axes.map(() => -(2 ** 31)));
  const reversed = c.emit('Slice', [input(c, 1), minus, ends, c.graph.int64(axes), minus]);
  const turned = c.emit('Transpose', [reversed], { perm: [1, 0, ...axes] });
  const full = pads.map((pad, index) => span(kernel, dilations, index % space.length) - 1 - pad);
  return c.emit('Conv', [c.dY, turned], { dilations, pads: full, kernel_shape: kernel });
}

function convTranspose(c: RuleContext, geometry: Geometry): Value {
  const { space, kernel, strides, dilations, pads, group } = geometry;
  // Lines at the end that no window reached.
  const output_padding = space.map((_, i) => paddedLength(geometry, i) - reach(geometry, i));
  const attributes = { strides, dilations, pads, group, output_padding, kernel_shape: kernel };
  return c.emit('ConvTranspose', [c.dY, input(c, 1)], attributes);
}
