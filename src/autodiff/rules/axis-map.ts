// Resize, the mirroring Pads and Slice in steps: linear maps along one axis after another. The operator itself, applied to the identity
// matrix, gives the matrix of the map along an axis; so every mode has a gradient that fits what the runtime computes,
// without a formula for its coordinates. The matrices are constants, which the runtime computes once.
import { SecateurError } from '../../errors.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import {
  again,
  constantOf,
  input,
  intsAttribute,
  output,
  type Rule,
  type RuleContext,
  type RuleFamily,
  stringAttribute,
} from '../rule.js';

/** dY with every axis mapped back by its matrix [size in X, size in Y]; null leaves the axis. */
function mapBack(c: RuleContext, matrixOf: (axis: number) => Value | null): Value {
  const [from, to] = [c.facts(input(c, 0)).shape, [...c.facts(output(c)).shape]];
  let value = c.dY;
  for (const axis of from.keys()) {
    const matrix = matrixOf(axis);
    if (matrix === null) continue;
    to[axis] = from[axis] ?? 0;
    value = alongAxis(c, value, { matrix, axis, shape: to });
  }
  return value;
}

// The axes behind are one: the matrix times [.., size in Y, behind]. What is before, with the batch, is kept as it is.
function alongAxis(
  c: RuleContext,
  value: Value,
  { matrix, axis, shape }: { matrix: Value; axis: number; shape: readonly number[] },
): Value {
  const before = shape.slice(0, axis).map(() => 0);
  const behind = shape.slice(axis + 1);
  if (behind.length === 0) {
    return c.emit('MatMul', [value, c.emit('Transpose', [matrix], { perm: [1, 0] })]);
  }
  if (behind.length === 1) return c.emit('MatMul', [matrix, value]);
  const flat = c.emit('Reshape', [value, c.graph.int64([...before, 0, -1])]);
  const mapped = c.emit('MatMul', [matrix, flat]);
  return c.emit('Reshape', [mapped, c.graph.int64([...before, shape[axis] ?? 0, ...behind])]);
}

/** [1, 1, size, size] or [size, size]. */
function identity(c: RuleContext, size: number, dims: readonly number[]): Value {
  const { dtype } = c.facts(input(c, 0));
  const data = dtype === 'float64' ? new Float64Array(size * size) : new Float32Array(size * size);
  for (let index = 0; index < size; index++) data[index * (size + 1)] = 1;
  return c.graph.constant([...dims, size, size], data);
}

/** An element of a list, as a vector of 1. */
function element(c: RuleContext, list: Value, position: number): Value {
  return c.emit('Gather', [list, c.graph.int64([position])]);
}

const resize: Rule = (c) => {
  refuseCropping(c);
  const [, roi = null, scales = null, sizes = ''] = c.inputs;
  const [from, to] = [c.facts(input(c, 0)).shape, c.facts(output(c)).shape];
  const listed = intsAttribute(c.node, 'axes')?.map((axis) => (axis < 0 ? axis + from.length : axis));
  const factors = constantOf(c, scales ?? '');
  const matrixOf = (axis: number): Value | null => {
    const position = listed === undefined ? axis : listed.indexOf(axis);
    const [size = 0, result = 0] = [from[axis], to[axis]];
    // A factor that the size does not show, such as 1.1 for 4, still blends.
    if (position < 0 || (size === result && (sizes !== '' || (factors?.[position] ?? 1) === 1))) return null;
    const inputs =
      sizes === ''
        ? [roi, c.emit('Concat', [c.graph.float32([1, 1, 1]), element(c, scales ?? '', position)], { axis: 0 })]
        : [roi, scales, c.graph.int64([1, 1, size, result])];
    const matrix = again(c, [identity(c, size, [1, 1]), ...inputs], ['axes']);
    return c.emit('Reshape', [matrix, c.graph.int64([size, result])]);
  };
  return [mapBack(c, matrixOf), null, null, null];
};

function refuseCropping(c: RuleContext): void {
  const mode = stringAttribute(c.node, 'coordinate_transformation_mode', 'half_pixel');
  const policy = stringAttribute(c.node, 'keep_aspect_ratio_policy', 'stretch');
  if (mode !== 'tf_crop_and_resize' && policy === 'stretch') return;
  const got = policy === 'stretch' ? mode : policy;
  const which = `Resize ${c.node.name || output(c)}`;
  throw new SecateurError('UNSUPPORTED', `Expected ${which} to stretch the whole image, got ${got}`);
}

/** The gradient of a Pad that repeats elements: mode reflect, edge or wrap. */
export function padByMap(c: RuleContext): Value {
  const [from, to] = [c.facts(input(c, 0)).shape, c.facts(output(c)).shape];
  const axes = c.inputs[3] ? constantOf(c, c.inputs[3]) : [...from.keys()];
  if (axes === undefined) {
    throw new SecateurError('UNSUPPORTED', `Expected the axes of Pad ${c.node.name || output(c)} to be constant`);
  }
  const positive = axes.map((axis) => (axis < 0 ? axis + from.length : axis));
  const amounts = constantOf(c, input(c, 1));
  const matrixOf = (axis: number): Value | null => {
    const position = positive.indexOf(axis);
    const ends = [position, position + axes.length];
    if (position < 0 || (from[axis] === to[axis] && ends.every((end) => (amounts?.[end] ?? 0) === 0))) return null;
    const zero = c.graph.int64([0]);
    const [begin = '', end = ''] = ends.map((at) => element(c, input(c, 1), at));
    const pads = c.emit('Concat', [zero, begin, zero, end], { axis: 0 });
    return again(c, [identity(c, from[axis] ?? 0, []), pads]);
  };
  return mapBack(c, matrixOf);
}

// A row of a matrix beyond this costs more than it saves.
const longestSliced = 128;

/** The gradient of a Slice in steps, where its axes are short and known and the batch is not among them. */
export function sliceByMap(c: RuleContext): Value | undefined {
  const [, starts = '', ends = '', listed = '', steps = ''] = c.inputs;
  const { shape: from } = c.facts(input(c, 0));
  const axes = constantOf(c, listed)?.map((axis) => (axis < 0 ? axis + from.length : axis));
  const isShort = (axis: number) => axis > 0 && (from[axis] ?? 0) <= longestSliced;
  if (axes === undefined || !axes.every(isShort) || c.facts(starts).dtype !== 'int64') return undefined;
  return mapBack(c, (axis) => {
    const position = axes.indexOf(axis);
    if (position < 0) return null;
    const [start, end, step] = [starts, ends, steps].map((list) => element(c, list, position));
    return again(c, [identity(c, from[axis] ?? 0, []), start ?? null, end ?? null, c.graph.int64([1]), step ?? null]);
  });
}

export const axisMaps: RuleFamily = { Resize: resize };
