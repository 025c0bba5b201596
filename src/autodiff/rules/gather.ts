// Gathering: dX has the dY of every place that was read, added up where a place was read more than once. All three add
// by ScatterElements: ScatterND in onnxruntime-node 1.30 lets its threads add to one row at once and loses some (20,000
// rows added to 3, on 2 threads: 14 wrong sums in 20 runs).
import type { Value } from '../../onnx/build/graph-builder.js';
import {
  input,
  intAttribute,
  type Rule,
  type RuleContext,
  type RuleFamily,
  refuseBefore,
  reshapeLike,
  zerosOf,
} from '../rule.js';

function scatterAdd(c: RuleContext, zeros: Value, { indices, axis }: { indices: Value; axis: number }, updates: Value) {
  refuseBefore(c, 16, 'adding where an index comes twice');
  return c.emit('ScatterElements', [zeros, indices, updates], { axis, reduction: 'add' });
}

// Y = X[.., indices[..], ..]: with the axes of the indices as one, [before, n, after]
const gather: Rule = (c) => {
  const { shape } = c.facts(input(c, 0));
  const given = intAttribute(c.node, 'axis', 0);
  const axis = given < 0 ? given + shape.length : given;
  const dims = c.emit('Shape', [input(c, 0)]);
  const [before, after] = [slice(c, dims, 0, axis), slice(c, dims, axis + 1, shape.length)];
  const count = c.graph.int64([-1]);
  const flat = c.emit('Reshape', [c.dY, c.emit('Concat', [before, count, after], { axis: 0 })]);
  // One index for each updated element: ScatterElements does not broadcast.
  const line = c.emit('Reshape', [input(c, 1), c.graph.int64(shape.map((_, at) => (at === axis ? -1 : 1)))]);
  const indices = c.emit('Expand', [as64(c, line), c.emit('Shape', [flat])]);
  return [scatterAdd(c, zerosOf(c, dims, input(c, 0)), { indices, axis }, flat)];
};

function slice(c: RuleContext, list: Value, start: number, end: number): Value {
  return c.emit('Slice', [list, c.graph.int64([start]), c.graph.int64([end])]);
}

function as64(c: RuleContext, indices: Value): Value {
  return c.emit('Cast', [indices], { to: 7 });
}

const gatherElements: Rule = (c) => {
  const zeros = zerosOf(c, c.emit('Shape', [input(c, 0)]), input(c, 0));
  return [scatterAdd(c, zeros, { indices: input(c, 1), axis: intAttribute(c.node, 'axis', 0) }, c.dY)];
};

// Y[b.., i..] = X[b.., indices[b.., i.., :]]: the K dimensions of X that an index counts, and those of the batch before
// them, become one, X as [rows, after] and every index a row.
const gatherNd: Rule = (c) => {
  const [x, indices] = [input(c, 0), as64(c, input(c, 1))];
  const batchDims = intAttribute(c.node, 'batch_dims', 0);
  const { shape } = c.facts(x);
  const { shape: indexShape } = c.facts(input(c, 1));
  const counted = indexShape.at(-1) ?? 0;
  const after = shape.slice(batchDims + counted).reduce((product, size) => product * size, 1);
  const dims = slice(c, c.emit('Shape', [x]), batchDims, batchDims + counted);
  const fromEnd = c.emit('Add', [indices, dims]);
  const positive = c.emit('Where', [c.emit('Less', [indices, c.graph.int64(0)]), fromEnd, indices]);
  // The first counted dimension may be the batch: none of the others' strides depends on it.
  const strides = Array.from({ length: counted }, (_, at) =>
    shape.slice(batchDims + at + 1, batchDims + counted).reduce((product, size) => product * size, 1),
  );
  const rows = c.emit('MatMul', [positive, c.graph.constant([counted, 1], BigInt64Array.from(strides, BigInt))]);
  const lines = batchDims === 0 ? rows : inBatch(c, rows, { batchDims, dims });
  const flat = c.emit('Reshape', [lines, c.graph.int64([-1, 1])]);
  const updates = c.emit('Reshape', [c.dY, c.graph.int64([-1, after])]);
  const zeros = c.emit('Reshape', [zerosOf(c, c.emit('Shape', [x]), x), c.graph.int64([-1, after])]);
  const each = c.emit('Expand', [flat, c.emit('Shape', [updates])]);
  return [reshapeLike(c, scatterAdd(c, zeros, { indices: each, axis: 0 }, updates), x)];
};

/** Rows within a batch, plus the rows of the batches before. */
function inBatch(c: RuleContext, rows: Value, { batchDims, dims }: { batchDims: number; dims: Value }): Value {
  const { shape } = c.facts(input(c, 1));
  const perBatch = shape.slice(batchDims, -1).reduce((product, size) => product * size, 1);
  const matrix = c.emit('Reshape', [rows, c.graph.int64([-1, perBatch])]);
  const size = c.emit('ReduceProd', [dims], { keepdims: 0 });
  const batches = c.emit('Gather', [c.emit('Shape', [matrix]), c.graph.int64(0)]);
  const before = c.emit('Mul', [c.emit('Range', [c.graph.int64(0), batches, c.graph.int64(1)]), size]);
  return c.emit('Add', [matrix, c.emit('Reshape', [before, c.graph.int64([-1, 1])])]);
}

export const gathering: RuleFamily = { Gather: gather, GatherElements: gatherElements, GatherND: gatherNd };
