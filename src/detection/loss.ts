// The loss of YOLOv4 (A. Bochkovskiy et al., 2020) as a graph over the raw heads, for autodiff to differentiate: complete
// IoU for the boxes that answer for an object, binary cross entropy for their classes and for the objectness of all
// predictions. Which predictions answer for what comes from targets.ts.
import type { GraphLoss } from '../autodiff/graph-loss.js';
import { GraphBuilder, type Value } from '../onnx/build/graph-builder.js';
import { modelOf } from '../onnx/build/model.js';
import { checkKeys, checkNumber } from '../options.js';
import { cellsOf } from './cells.js';
import { type BoxValues, columns, completeIou } from './ciou.js';
import { boxChannels, type DetectionNetwork } from './heads.js';
import { overlapsTruth } from './ignore.js';
import { targetNames } from './targets.js';

export interface DetectionLossOptions {
  /** Weight of the boxes, >= 0. @default 5 */
  boxGain?: number | undefined;
  /** Weight of objectness, >= 0. @default 1 */
  objectnessGain?: number | undefined;
  /** Weight of the classes, >= 0. @default 1 */
  classGain?: number | undefined;
  /**
   * A prediction that answers for no box, but overlaps one by more than this (intersection over union, (0, 1]), is not
   * held to be wrong. @default 0.7, as in yolov4.cfg
   */
  ignoreThreshold?: number | undefined;
}

const KEYS = ['boxGain', 'objectnessGain', 'classGain', 'ignoreThreshold'];

/**
 * Logarithms of width and height over the anchor's are held within -8 and 8, 1 / 2981 and 2981 times: beyond that exp
 * would overflow early in a training, and no box has that size.
 */
const sizeBound = 8;

/**
 * A loss for `Trainer.create`: the mean over images of their sums over predictions. Its inputs are the heads, and the
 * targets that a TargetAssigner makes. All lengths may differ from batch to batch.
 *
 * @param opset of the model, 13 to 21.
 * @throws SecateurError INVALID_OPTION
 */
export function detectionLoss(network: DetectionNetwork, opset: number, options: DetectionLossOptions = {}): GraphLoss {
  checkKeys('option', Object.keys(options), KEYS);
  const { boxGain = 5, objectnessGain = 1, classGain = 1, ignoreThreshold = 0.7 } = options;
  for (const [name, gain] of Object.entries({ boxGain, objectnessGain, classGain })) {
    checkNumber(name, gain, { least: 0, below: Number.POSITIVE_INFINITY });
  }
  checkNumber('ignoreThreshold', ignoreThreshold, { least: Number.MIN_VALUE, most: 1 });
  const g = GraphBuilder.create('yolov4.loss');
  const rows = joinHeads(g, network);
  const geometry = geometryOf(g, network);
  const targets = declareTargets(g, geometry.predictions);
  const objectness = objectnessLoss(g, rows, { geometry, targets, ignoreThreshold, opset });
  const { boxes, classes, constants } = positivesLoss(g, rows, { geometry, targets, classes: network.classes });
  const parts = [
    [boxes, boxGain],
    [objectness, objectnessGain],
    [classes, classGain],
  ] as const;
  const total = g.op(
    'Sum',
    parts.map(([part, gain]) => g.op('Mul', [part, g.float32(gain)])),
  );
  const images = g.op('Cast', [g.op('Gather', [g.op('Shape', [rows]), g.int64(0)])], { to: 1 });
  g.output(g.op('Div', [total, images], {}, { outputs: ['loss'] }), 'float32', []);
  return { type: 'graph', model: modelOf(g.graph, { opset }), constants };
}

/** All predictions, [N, K, 5 + classes], in the order of cells.ts. */
function joinHeads(g: GraphBuilder, { heads, classes, size }: DetectionNetwork): Value {
  const channels = boxChannels + classes;
  const rows = heads.map(({ output, anchors, stride }) => {
    const side = size / stride;
    const raw = g.input(output, 'float32', ['N', anchors.length * channels, side, side]);
    const split = g.op('Reshape', [raw, g.int64([-1, anchors.length, channels, side * side])]);
    const last = g.op('Transpose', [split], { perm: [0, 1, 3, 2] });
    return g.op('Reshape', [last, g.int64([-1, anchors.length * side * side, channels])]);
  });
  return g.op('Concat', rows, { axis: 1 });
}

/** Constants of decoding, a row a prediction, [K, 2] in x and y: centre = sigmoid * scale + offset, size = exp * anchor. */
export interface Geometry {
  readonly predictions: number;
  readonly scale: Value;
  readonly offset: Value;
  readonly anchor: Value;
}

function geometryOf(g: GraphBuilder, network: DetectionNetwork): Geometry {
  const cells = cellsOf(network);
  const table = (row: (cell: (typeof cells)[number]) => readonly number[]) =>
    g.constant([cells.length, 2], Float32Array.from(cells.flatMap(row)));
  return {
    predictions: cells.length,
    scale: table(({ stride, scaleXY }) => [stride * scaleXY, stride * scaleXY]),
    offset: table(({ left, top, stride, scaleXY }) => {
      const beyond = (stride * (scaleXY - 1)) / 2;
      return [left - beyond, top - beyond];
    }),
    anchor: table(({ anchor }) => anchor),
  };
}

/** Boxes in pixels from raw numbers [.., 5 + classes] and their geometry, [.., 2]. */
function decode(g: GraphBuilder, raw: Value, { scale, offset, anchor }: Omit<Geometry, 'predictions'>): BoxValues {
  const inside = g.op('Sigmoid', [columns(g, raw, 0, 2)]);
  const bounded = g.op('Clip', [columns(g, raw, 2, 4), g.float32(-sizeBound), g.float32(sizeBound)]);
  return {
    centre: g.op('Add', [g.op('Mul', [inside, scale]), offset]),
    size: g.op('Mul', [g.op('Exp', [bounded]), anchor]),
  };
}

type Targets = Record<keyof typeof targetNames, Value>;

function declareTargets(g: GraphBuilder, predictions: number): Targets {
  return {
    objectness: g.input(targetNames.objectness, 'float32', ['N', predictions]),
    truths: g.input(targetNames.truths, 'float32', ['truths', 4]),
    positives: g.input(targetNames.positives, 'int64', ['positives']),
    boxes: g.input(targetNames.boxes, 'float32', ['positives', 4]),
    classes: g.input(targetNames.classes, 'int64', ['positives']),
    weights: g.input(targetNames.weights, 'float32', ['positives']),
  };
}

interface ObjectnessParts {
  readonly geometry: Geometry;
  readonly targets: Targets;
  readonly ignoreThreshold: number;
  readonly opset: number;
}

/** The sum over all predictions that count. */
function objectnessLoss(g: GraphBuilder, rows: Value, { geometry, targets, ...ignore }: ObjectnessParts): Value {
  const { objectness: wanted } = targets;
  const overlaps = overlapsTruth(g, decode(g, rows, geometry), { truths: targets.truths, ...ignore });
  const positive = g.op('Greater', [wanted, g.float32(0)]);
  const negative = g.op('And', [g.op('Equal', [wanted, g.float32(0)]), g.op('Not', [overlaps])]);
  const counts = g.op('Cast', [g.op('Or', [positive, negative])], { to: 1 });
  const logits = g.op('Reshape', [columns(g, rows, 4, 5), g.int64([-1, geometry.predictions])]);
  return sum(g, g.op('Mul', [crossEntropy(g, logits, g.op('Relu', [wanted])), counts]));
}

interface PositiveParts {
  readonly geometry: Geometry;
  readonly targets: Targets;
  readonly classes: number;
}

/** The sums over the predictions that answer for a box. */
function positivesLoss(g: GraphBuilder, rows: Value, { geometry, targets, classes }: PositiveParts) {
  const { predictions, ...tables } = geometry;
  const raw = g.op('Gather', [g.op('Reshape', [rows, g.int64([-1, boxChannels + classes])]), targets.positives]);
  const cell = g.op('Mod', [targets.positives, g.int64(predictions)]);
  const [scale, offset, anchor] = [tables.scale, tables.offset, tables.anchor].map((table) =>
    g.op('Gather', [table, cell]),
  ) as [Value, Value, Value];
  const size = columns(g, targets.boxes, 2, 4);
  const centre = g.op('Add', [columns(g, targets.boxes, 0, 2), g.op('Mul', [size, g.float32(0.5)])]);
  const { value, alpha } = completeIou(g, decode(g, raw, { scale, offset, anchor }), { centre, size });
  const weights = g.op('Reshape', [targets.weights, g.int64([-1, 1])]);
  const boxes = sum(g, g.op('Mul', [g.op('Sub', [g.float32(1), value]), weights]));
  const wanted = g.op('OneHot', [targets.classes, g.int64(classes), g.float32([0, 1])]);
  const entropy = crossEntropy(g, columns(g, raw, boxChannels, boxChannels + classes), wanted);
  return { boxes, classes: sum(g, g.op('Mul', [entropy, weights])), constants: [alpha] };
}

/** Of bits, from logits z and targets t: log(1 + e^z) - z t, which the runtime computes without overflow. */
function crossEntropy(g: GraphBuilder, logits: Value, wanted: Value): Value {
  return g.op('Sub', [g.op('Softplus', [logits]), g.op('Mul', [logits, wanted])]);
}

/** Over everything, to a scalar. */
function sum(g: GraphBuilder, value: Value): Value {
  return g.op('ReduceSum', [value], { keepdims: 0 });
}
