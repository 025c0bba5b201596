// Which predictions lie on a true box well enough not to be blamed for the object that they see. Nothing flows back
// through the answer, which is a truth value.
import type { GraphBuilder, Value } from '../onnx/build/graph-builder.js';
import { type BoxValues, columns } from './ciou.js';

export interface IgnoreOptions {
  /** [N * M, 4]: left, top, width, height. */
  readonly truths: Value;
  /** Intersection over union. */
  readonly ignoreThreshold: number;
  readonly opset: number;
}

/**
 * bool [N, K]: whether a predicted box, [N, K, 2], overlaps one of the image's true boxes by more than the threshold.
 * Pairs are [N, M, K]: the long axis is the last, which the runtime goes through fastest.
 */
export function overlapsTruth(g: GraphBuilder, boxes: BoxValues, options: IgnoreOptions): Value {
  const { truths, ignoreThreshold, opset } = options;
  const images = g.op('Slice', [g.op('Shape', [boxes.centre]), g.int64([0]), g.int64([1])]);
  const grouped = g.op('Reshape', [truths, g.op('Concat', [images, g.int64([-1, 4])], { axis: 0 })]);
  const sides = [0, 1].map((axis) => {
    const [centre, size] = [boxes.centre, boxes.size].map((value) =>
      g.op('Transpose', [columns(g, value, axis, axis + 1)], { perm: [0, 2, 1] }),
    ) as [Value, Value];
    const half = g.op('Mul', [size, g.float32(0.5)]);
    const low = columns(g, grouped, axis, axis + 1);
    const length = columns(g, grouped, axis + 2, axis + 3);
    const high = g.op('Min', [g.op('Add', [centre, half]), g.op('Add', [low, length])]);
    const common = g.op('Sub', [high, g.op('Max', [g.op('Sub', [centre, half]), low])]);
    return { size, length, common: g.op('Relu', [common]) };
  }) as [Side, Side];
  const [own, other, intersection] = (['size', 'length', 'common'] as const).map((what) =>
    g.op('Mul', [sides[0][what], sides[1][what]]),
  ) as [Value, Value, Value];
  // I / (A + B - I) > t where I - c B > c A with c = t / (1 + t): no division, and one pass less.
  const share = g.float32(ignoreThreshold / (1 + ignoreThreshold));
  const beyond = g.op('Sub', [intersection, g.op('Mul', [other, share])]);
  const most = largest(g, beyond, opset);
  const predictions = g.op('Greater', [most, g.op('Mul', [own, share])]);
  return g.op('Reshape', [predictions, g.op('Concat', [images, g.int64([-1])], { axis: 0 })]);
}

interface Side {
  readonly size: Value;
  readonly length: Value;
  readonly common: Value;
}

/** Of [N, M, K] over M: [N, 1, K]. */
function largest(g: GraphBuilder, value: Value, opset: number): Value {
  const keepdims = 1;
  return opset < 18
    ? g.op('ReduceMax', [value], { axes: [1], keepdims })
    : g.op('ReduceMax', [value, g.int64([1])], { keepdims });
}
