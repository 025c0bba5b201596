// Shapes of operators that slide a window: convolutions and pooling.
import { intAttribute, intsAttribute, stringAttribute } from '../attributes.js';
import type { InferContext, InferFamily } from './rule.js';
import type { Dim, Shape } from './shape.js';

interface Window {
  kernel: readonly number[];
  strides: readonly number[];
  dilations: readonly number[];
  /** Begins of all axes, then ends. */
  pads: readonly number[];
  autoPad: string;
}

function windowOf({ node }: InferContext, kernel: readonly number[]): Window {
  const ones = kernel.map(() => 1);
  return {
    kernel,
    strides: intsAttribute(node, 'strides') ?? ones,
    dilations: intsAttribute(node, 'dilations') ?? ones,
    pads: intsAttribute(node, 'pads') ?? [...ones, ...ones].map(() => 0),
    autoPad: stringAttribute(node, 'auto_pad', 'NOTSET'),
  };
}

/** The window along one spatial axis: how far it reaches, and what is padded before and in all. */
function alongAxis({ kernel, strides, dilations, pads, autoPad }: Window, axis: number) {
  const explicit = autoPad === 'NOTSET';
  const before = explicit ? (pads[axis] ?? 0) : 0;
  const after = explicit ? (pads[axis + kernel.length] ?? 0) : 0;
  const reach = ((kernel[axis] ?? 1) - 1) * (dilations[axis] ?? 1) + 1;
  return { stride: strides[axis] ?? 1, reach, before, padded: before + after };
}

/** Length along one spatial axis after the window has passed. */
function slide(context: InferContext, window: Window, axis: number, length: Dim): Dim {
  const { stride, reach, before, padded } = alongAxis(window, axis);
  const same = window.autoPad.startsWith('SAME');
  if (typeof length === 'string') {
    const keeps = stride === 1 && (same || padded === reach - 1);
    return keeps ? length : context.symbols.fresh();
  }
  if (same) return Math.ceil(length / stride);
  const ceil = intAttribute(context.node, 'ceil_mode', 0) === 1;
  const steps = (length + padded - reach) / stride;
  const count = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
  // With ceil_mode the last window must begin inside the input or its left padding.
  const inside = !ceil || (count - 1) * stride < length + before;
  return inside ? count : count - 1;
}

function slideAll(context: InferContext, x: Shape, channels: Dim, kernel: readonly number[]): Shape {
  const window = windowOf(context, kernel);
  const spatial = x.slice(2).map((length, axis) => slide(context, window, axis, length));
  return [x[0] ?? 1, channels, ...spatial];
}

/** The spatial lengths of a weight, where they are known. */
function kernelOf(context: InferContext): number[] | undefined {
  const spatial = context.shape(1)?.slice(2) ?? [];
  const known = spatial.filter((dim) => typeof dim === 'number');
  return intsAttribute(context.node, 'kernel_shape') ?? (known.length === spatial.length ? known : undefined);
}

function transposedLength(context: InferContext, kernel: readonly number[], axis: number, length: Dim): Dim {
  const window = windowOf(context, kernel);
  const { stride, reach, padded } = alongAxis(window, axis);
  const given = intsAttribute(context.node, 'output_shape')?.[axis];
  if (given !== undefined) return given;
  if (typeof length === 'string') return context.symbols.fresh();
  if (window.autoPad.startsWith('SAME')) return length * stride;
  const extra = intsAttribute(context.node, 'output_padding')?.[axis] ?? 0;
  return stride * (length - 1) + extra + reach - padded;
}

const pool = (context: InferContext): readonly (Shape | undefined)[] => {
  const x = context.shape(0);
  const kernel = intsAttribute(context.node, 'kernel_shape');
  if (x === undefined || kernel === undefined) return [];
  const shape = slideAll(context, x, x[1] ?? 1, kernel);
  return [shape, shape];
};

const globalPool = (context: InferContext): readonly (Shape | undefined)[] => [
  context.shape(0)?.map((dim, axis) => (axis < 2 ? dim : 1)),
];

export const windows: InferFamily = {
  Conv: (c) => {
    const [x, w, kernel] = [c.shape(0), c.shape(1), kernelOf(c)];
    if (x === undefined || w === undefined || kernel === undefined) return [];
    return [slideAll(c, x, w[0] ?? 1, kernel)];
  },
  // [N, C, ...] with weights [C, M / group, ...] to [N, M, ...]
  ConvTranspose: (c) => {
    const [x, w, kernel] = [c.shape(0), c.shape(1), kernelOf(c)];
    if (x === undefined || w === undefined || kernel === undefined) return [];
    const perGroup = w[1] ?? 1;
    const channels = typeof perGroup === 'number' ? perGroup * intAttribute(c.node, 'group', 1) : c.symbols.fresh();
    const spatial = x.slice(2).map((length, axis) => transposedLength(c, kernel, axis, length));
    return [[x[0] ?? 1, channels, ...spatial]];
  },
  MaxPool: pool,
  AveragePool: pool,
  LpPool: pool,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  GlobalLpPool: globalPool,
};
