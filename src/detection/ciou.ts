// Complete intersection over union (Z. Zheng et al., Distance-IoU loss, AAAI 2020) as nodes of a graph, box by box:
// IoU - distance^2 / diagonal^2 - alpha v, with v = 4 / pi^2 (atan(w' / h') - atan(w / h))^2 and alpha = v / (1 - IoU + v).
import type { GraphBuilder, Value } from '../onnx/build/graph-builder.js';

/** Boxes: centres and sizes, both [P, 2], in x and y. Sizes are above 0. */
export interface BoxValues {
  readonly centre: Value;
  readonly size: Value;
}

/** What {@link completeIou} adds. */
export interface CompleteIou {
  /** [P, 1], in (-2, 1]; 1 where the boxes are equal. */
  readonly value: Value;
  /** The weight of the shapes, which the method takes for a constant when it differentiates. */
  readonly alpha: Value;
}

const tiny = 1e-7;

/** Adds the overlap of predicted boxes with true ones, row by row. */
export function completeIou(g: GraphBuilder, box: BoxValues, truth: BoxValues): CompleteIou {
  const corners = [edges(g, box), edges(g, truth)] as const;
  const iou = overlap(g, { box, truth, corners });
  const [low, high] = [['Min', 0] as const, ['Max', 1] as const].map(([op, side]) =>
    g.op(op, [corners[0][side], corners[1][side]]),
  );
  const hull = g.op('Sub', [high ?? null, low ?? null]);
  const apart = g.op('Sub', [box.centre, truth.centre]);
  const distance = g.op('Div', [squaredLength(g, apart), squaredLength(g, hull)]);
  const turn = g.op('Sub', [aspect(g, truth.size), aspect(g, box.size)]);
  const shape = g.op('Mul', [g.op('Mul', [turn, turn]), g.float32(4 / Math.PI ** 2)]);
  const rest = g.op('Add', [g.op('Sub', [g.float32(1 + tiny), iou]), shape]);
  const alpha = g.op('Div', [shape, rest], {}, { name: 'alpha' });
  const value = g.op('Sub', [g.op('Sub', [iou, distance]), g.op('Mul', [alpha, shape])]);
  return { value, alpha };
}

/** Lower and higher edges, [P, 2]. */
function edges(g: GraphBuilder, { centre, size }: BoxValues): readonly [low: Value, high: Value] {
  const half = g.op('Mul', [size, g.float32(0.5)]);
  return [g.op('Sub', [centre, half]), g.op('Add', [centre, half])];
}

interface Pair {
  readonly box: BoxValues;
  readonly truth: BoxValues;
  readonly corners: readonly [readonly [Value, Value], readonly [Value, Value]];
}

function overlap(g: GraphBuilder, { box, truth, corners: [own, other] }: Pair): Value {
  const common = g.op('Sub', [g.op('Min', [own[1], other[1]]), g.op('Max', [own[0], other[0]])]);
  const intersection = area(g, g.op('Relu', [common]));
  const union = g.op('Sub', [g.op('Add', [area(g, box.size), area(g, truth.size)]), intersection]);
  return g.op('Div', [intersection, union]);
}

/** Of [P, 2], the product of both columns, [P, 1]. */
function area(g: GraphBuilder, sides: Value): Value {
  return g.op('Mul', [column(g, sides, 0), column(g, sides, 1)]);
}

/** The angle whose tangent is width over height. */
function aspect(g: GraphBuilder, size: Value): Value {
  return g.op('Atan', [g.op('Div', [column(g, size, 0), column(g, size, 1)])]);
}

function squaredLength(g: GraphBuilder, vector: Value): Value {
  return g.op('Add', [square(g, column(g, vector, 0)), square(g, column(g, vector, 1))]);
}

function square(g: GraphBuilder, value: Value): Value {
  return g.op('Mul', [value, value]);
}

function column(g: GraphBuilder, value: Value, index: number): Value {
  return columns(g, value, index, index + 1);
}

/** Columns of the last axis. */
export function columns(g: GraphBuilder, value: Value, start: number, end: number): Value {
  return g.op('Slice', [value, g.int64([start]), g.int64([end]), g.int64([-1])]);
}
