// Averages over windows and over all of space.
import type { Value } from '../../onnx/build/graph-builder.js';
import { again, input, intsAttribute, type Rule, type RuleContext, type RuleFamily, scalarLike } from '../rule.js';
import { at, type Geometry, product, span, windowGeometry } from './convolution/geometry.js';

// Every input gets dY / (number of pixels).
const globalAveragePool: Rule = (c) => {
  const x = input(c, 0);
  const pixels = product(c.facts(x).shape.slice(2));
  const share = c.emit('Mul', [c.dY, scalarLike(c, 1 / pixels, x)]);
  return [c.emit('Expand', [share, c.emit('Shape', [x])])];
};

// Every input gets dY / (what its windows divide by), from each of its windows.
const averagePool: Rule = (c) => {
  const geometry = windowGeometry(c, intsAttribute(c.node, 'kernel_shape') ?? []);
  const share = c.emit('Mul', [c.dY, weights(c, geometry)]);
  return [tiles(geometry) ? repeated(c, share, geometry) : spread(c, share, geometry)];
};

// What a window divides by depends on attributes and version; so the operator itself tells, on an image of ones, where a
// window gives (pixels in the image) / (what it divides by). A constant, which the runtime computes once.
function weights(c: RuleContext, geometry: Geometry): Value {
  const { space, result } = geometry;
  const averages = again(c, [ones(c, space)]);
  const counts = result.map((size, axis) => Array.from({ length: size }, (_, index) => inside(geometry, axis, index)));
  const pixels = counts.reduce<number[]>((all, next) => all.flatMap((a) => next.map((b) => a * b)), [1]);
  const data = pixels.map((count) => 1 / Math.max(1, count));
  const double = c.facts(input(c, 0)).dtype === 'float64';
  const array = double ? Float64Array.from(data) : Float32Array.from(data);
  return c.emit('Mul', [averages, c.graph.constant([1, 1, ...result], array)]);
}

/** How many pixels of the image a window covers along an axis. */
function inside({ space, kernel, strides, dilations, pads }: Geometry, axis: number, index: number): number {
  const first = index * at(strides, axis) - at(pads, axis);
  const places = Array.from({ length: at(kernel, axis) }, (_, step) => first + step * at(dilations, axis));
  return places.filter((place) => place >= 0 && place < at(space, axis)).length;
}

/** [1, 1, space] of ones. */
function ones(c: RuleContext, space: readonly number[]): Value {
  const count = product(space);
  const double = c.facts(input(c, 0)).dtype === 'float64';
  return c.graph.constant([1, 1, ...space], double ? new Float64Array(count).fill(1) : new Float32Array(count).fill(1));
}

/** Whether the windows cover the image without gaps, overlap or padding. */
function tiles({ space, kernel, strides, dilations, pads, result }: Geometry): boolean {
  const covered = space.every(
    (size, axis) =>
      size === at(kernel, axis) * at(result, axis) &&
      at(strides, axis) === at(kernel, axis) &&
      at(dilations, axis) === 1,
  );
  return covered && pads.every((pad) => pad === 0);
}

/** [N, C, h, w] as [N, C, h, 1, w, 1], stretched to [N, C, h, kernel, w, kernel]. */
function repeated(c: RuleContext, share: Value, { kernel, result }: Geometry): Value {
  const apart = c.emit('Reshape', [share, c.graph.int64([0, 0, ...result.flatMap((size) => [size, 1])])]);
  const wide = c.emit('Expand', [apart, c.graph.int64([1, 1, ...kernel.flatMap((size) => [1, size])])]);
  return c.emit('Reshape', [wide, c.emit('Shape', [input(c, 0)])]);
}

/** A transposed convolution with a kernel of ones, channel by channel, cut or filled up to the image. */
function spread(c: RuleContext, share: Value, { space, kernel, strides, dilations, pads, result }: Geometry): Value {
  const alone = c.emit('Reshape', [share, c.graph.int64([-1, 1, ...result])]);
  const wide = c.emit('ConvTranspose', [alone, ones(c, kernel)], { strides, dilations, kernel_shape: kernel });
  const before = space.map((_, axis) => -at(pads, axis));
  const after = space.map((size, axis) => {
    const reached = (at(result, axis) - 1) * at(strides, axis) + span(kernel, dilations, axis);
    return size + at(pads, axis) - reached;
  });
  const cut = c.emit('Pad', [wide, c.graph.int64([0, 0, ...before, 0, 0, ...after])]);
  return c.emit('Reshape', [cut, c.emit('Shape', [input(c, 0)])]);
}

export const averagePooling: RuleFamily = { AveragePool: averagePool, GlobalAveragePool: globalAveragePool };
