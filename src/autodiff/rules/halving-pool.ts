// The gradient of a MaxPool that halves every axis of space: window 2, stride 2, no padding, even sizes. Axis by axis it
// compares the first of each pair with the maximum. Asking the forward node for indices instead costs more than twice
// as much, since only its form without them is vectorised (docs/performance.md).
import type { Value } from '../../onnx/build/graph-builder.js';
import { input, intsAttribute, output, type RuleContext } from '../rule.js';

/** Whether {@link halvingPoolGradient} holds for the node. */
export function halves(c: RuleContext): boolean {
  const { shape, dtype } = c.facts(input(c, 0));
  const all = (name: string, value: number, otherwise: boolean) =>
    intsAttribute(c.node, name)?.every((item) => item === value) ?? otherwise;
  const window = all('kernel_shape', 2, false) && all('strides', 2, false);
  const plain = all('pads', 0, true) && all('dilations', 1, true);
  return dtype === 'float32' && window && plain && shape.slice(2).every((size) => size % 2 === 0);
}

// Of a pair (a, b) with maximum m, a gets dm if a = m, and b the rest: exactly one of them, ties included.
export function halvingPoolGradient(c: RuleContext): Value {
  const { shape } = c.facts(input(c, 0));
  const axes = shape.slice(2).map((_, index) => index + 2);
  // What the window has made of X after 0, 1, ... of its axes.
  const stages = [input(c, 0), ...axes.slice(1).map((axis) => pooledBefore(c, axis)), output(c)];
  return axes.reduceRight((dMaximum, axis, index) => {
    const first = firstOfPairs(c, stages[index] ?? '', axis);
    const isMaximum = c.emit('Cast', [c.emit('Equal', [first, stages[index + 1] ?? ''])], { to: 1 });
    const dFirst = c.emit('Mul', [dMaximum, isMaximum]);
    return interleaved(c, [dFirst, c.emit('Sub', [dMaximum, dFirst])], axis);
  }, c.dY);
}

/** X pooled along the axes of space before one. */
function pooledBefore(c: RuleContext, end: number): Value {
  const window = c
    .facts(input(c, 0))
    .shape.slice(2)
    .map((_, index) => (index + 2 < end ? 2 : 1));
  return c.emit('MaxPool', [input(c, 0)], { kernel_shape: window, strides: window });
}

function firstOfPairs(c: RuleContext, value: Value, axis: number): Value {
  const one = (number: number) => c.graph.int64([number]);
  return c.emit('Slice', [value, one(0), one(2 ** 31 - 1), one(axis), one(2)]);
}

/** Pairs put together again along an axis. Axes before it are still half as long as in X. */
function interleaved(c: RuleContext, pair: readonly Value[], axis: number): Value {
  const { shape } = c.facts(input(c, 0));
  const line = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const columns = pair.map((value) => c.emit('Reshape', [value, c.graph.int64([-1, 1, line])]));
  const space = shape.slice(2).map((size, index) => (index + 2 < axis ? size / 2 : size));
  return c.emit('Reshape', [c.emit('Concat', columns, { axis: 1 }), c.graph.int64([-1, shape[1] ?? 0, ...space])]);
}
