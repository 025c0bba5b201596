// Cross entropy as ONNX nodes. Its gradient comes from the rules of the operators.
import { SecateurError } from '../errors.js';
import type { GraphBuilder, Value } from '../onnx/build/graph-builder.js';

/** Mean cross entropy of logits [N, C] and labels int64 [N], or of [N, C, d1, ..] and [N, d1, ..]. */
export interface CrossEntropy {
  readonly type: 'crossEntropy';
  /** Number of classes, C. @default the declared size of the output's axis 1 */
  readonly classes?: number;
  /**
   * Samples with this label count nothing. Nor do those whose label is no class: the graph cannot refuse them, so the
   * caller should. Where no sample counts, the mean is NaN, as in PyTorch.
   *
   * @default -100
   */
  readonly ignoreIndex?: number;
  /** C factors, one a class; the mean is weighted by them. */
  readonly classWeights?: readonly number[];
  /** Part of the target spread evenly over the classes, [0, 1). @default 0 */
  readonly labelSmoothing?: number;
}

/** Sum of a value over axes, or over all; how axes are passed depends on the operator set. */
export type Summation = (value: Value, axes?: readonly number[]) => Value;

export interface CrossEntropyInputs {
  readonly logits: Value;
  /** int64 [N], or [N, d1, ..]. */
  readonly labels: Value;
  /** Of the logits, 2 or more. */
  readonly rank: number;
  readonly classes: number;
}

// With w the class weights, h = onehot w and s the smoothing, over the samples that count:
// loss = -sum(((1 - s) h + s / C w) log softmax(z)) / sum(h)
export function crossEntropy(
  g: GraphBuilder,
  { logits, labels, rank, classes }: CrossEntropyInputs,
  { ignoreIndex = -100, classWeights, labelSmoothing = 0 }: CrossEntropy,
  sum: Summation,
): Value {
  checkCrossEntropy(classes, classWeights, labelSmoothing);
  const z = rank === 2 ? logits : classesLast(g, logits, { rank, classes });
  const column = g.op('Reshape', [labels, g.int64([-1, 1])]);
  const oneHot = g.op('Cast', [g.op('Equal', [column, classIds(g, classes, ignoreIndex)])], { to: 1 });
  const h = classWeights ? g.op('Mul', [oneHot, g.float32(classWeights)]) : oneHot;
  let targets = h;
  if (labelSmoothing > 0) {
    const counts = sum(oneHot, [1]); // 1, or 0 for a sample that does not count
    const even = Array.from({ length: classes }, (_, id) => ((classWeights?.[id] ?? 1) * labelSmoothing) / classes);
    const kept = g.op('Mul', [h, g.float32(1 - labelSmoothing)]);
    targets = g.op('Add', [kept, g.op('Mul', [counts, g.float32(even)])]);
  }
  // A class that is impossible, with a logit of -Infinity, counts nothing where it is no target.
  const unwanted = g.op('Equal', [targets, g.float32(0)]);
  const logProbabilities = g.op('Where', [unwanted, g.float32(0), g.op('LogSoftmax', [z], { axis: 1 })]);
  return g.op('Neg', [g.op('Div', [sum(g.op('Mul', [targets, logProbabilities])), sum(h)])]);
}

/** The labels that the classes go by. No label is the smallest integer, which stands for a class to ignore. */
function classIds(g: GraphBuilder, classes: number, ignoreIndex: number): Value {
  const ids = BigInt64Array.from({ length: classes }, (_, id) => (id === ignoreIndex ? -(2n ** 63n) : BigInt(id)));
  return g.constant([classes], ids);
}

/** [N, C, d1, ..] to [N d1 .., C], in the order of labels [N, d1, ..]. */
function classesLast(g: GraphBuilder, logits: Value, { rank, classes }: { rank: number; classes: number }): Value {
  const space = Array.from({ length: rank - 2 }, (_, index) => index + 2);
  return g.op('Reshape', [g.op('Transpose', [logits], { perm: [0, ...space, 1] }), g.int64([-1, classes])]);
}

function checkCrossEntropy(classes: number, weights: readonly number[] | undefined, smoothing: number): void {
  if (!Number.isInteger(classes) || classes < 1) {
    throw new SecateurError('INVALID_OPTION', `Expected the number of classes to be 1 or more, got ${classes}`);
  }
  if (weights !== undefined && weights.length !== classes) {
    const got = weights.length;
    throw new SecateurError('INVALID_OPTION', `Expected one weight for each of ${classes} classes, got ${got}`);
  }
  if (!(smoothing >= 0 && smoothing < 1)) {
    throw new SecateurError('INVALID_OPTION', `Expected labelSmoothing to be a number in [0, 1), got ${smoothing}`);
  }
}
