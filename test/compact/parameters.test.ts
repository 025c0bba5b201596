// Inputs that are no channels: scales, shapes, bounds, axes. They stay whole wherever they come from, and what is
// rewritten of them fits the rest.
import { describe, expect, it } from 'vitest';
import type { Value } from '../../src/onnx/build/graph-builder.js';
import { build, compacted, dims, type Layers, operators } from './support.js';

const DEAD = [1, 4, 5];

/** Conv with three of eight channels dead, the operator, a Conv that reads what comes. */
function between(make: (layers: Layers, value: Value) => Value, { channels = 8, symbolic = true, opset = 17 } = {}) {
  return build(
    [2, 3, 6, 6],
    (l, x) => l.conv(make(l, l.conv(x, [3, 8], { dead: DEAD, name: 'a' })), [channels, 4], { name: 'b' }),
    { symbolic, opset },
  );
}

/** A constant behind an operator: the halves of a vector, or the vector itself. */
function computed({ graph }: Layers, op: 'Identity' | 'Concat', values: readonly number[]): Value {
  const half = Math.ceil(values.length / 2);
  const parts = op === 'Identity' ? [values] : [values.slice(0, half), values.slice(half)];
  const inputs = parts.filter((part) => part.length > 0).map((part) => graph.int64(part));
  return graph.op(op, inputs, op === 'Concat' ? { axis: 0 } : {});
}

describe('computed parameters stay whole', () => {
  it('LayerNormalization, with nothing to remove', async () => {
    const built = build([2, 7, 6], (l, x) => {
      const [scale, bias] = [l.vector(6), l.vector(6)].map((vector) => l.graph.op('Identity', [vector]));
      return l.graph.op('LayerNormalization', [x, scale!, bias!], { axis: -1 });
    });
    const { model } = await compacted(built);
    expect(operators(model)).toEqual(['Identity', 'Identity', 'LayerNormalization']);
    expect(dims(model, 'vector')).toEqual([6]);
  });

  it('the scales of a Resize', async () => {
    const built = between(({ graph }, value) => {
      const scales = graph.op('Concat', [graph.float32([1, 1]), graph.float32([2, 2])], { axis: 0 });
      return graph.op('Resize', [value, null, scales], { mode: 'nearest' });
    });
    // Shapes are not inferred from scales that are computed.
    const { model, report } = await compacted(built);
    expect(report.layers).toEqual([]);
    expect(operators(model)).toEqual(['Conv', 'Concat', 'Resize', 'Conv']);
  });

  it.each(['Identity', 'Concat'] as const)('of Slice, Pad, ReduceSum and Split, behind %s', async (op) => {
    const built = build([2, 4, 6, 6], (l, x) => {
      const { graph } = l;
      const starts = computed(l, op, [1, 0]);
      const sliced = graph.op('Slice', [x, starts, computed(l, op, [5, 4]), computed(l, op, [2, 3])]);
      const padded = graph.op('Pad', [sliced, computed(l, op, [0, 0, 1, 0, 0, 0, 0, 2])]);
      const [left, right] = graph.ops('Split', [padded, computed(l, op, [1, 3])], 2, { axis: 1 });
      const sum = graph.op('ReduceSum', [right!, computed(l, op, [2, 3])], { keepdims: 1 });
      return graph.op('Add', [left!, sum]);
    });
    const { report } = await compacted(built);
    expect(report.layers).toEqual([]);
  });
});

it('the target of a Reshape that an Identity hands on', async () => {
  const built = build([2, 3, 4], (l, x) => l.graph.op('Reshape', [x, computed(l, 'Identity', [0, 12])]));
  expect(operators((await compacted(built)).model)).toEqual(['Reshape']);
});

it('int32 bounds of a Slice become int64, with its axes and steps', async () => {
  const built = between(
    ({ graph }, value) => {
      const bounds = [[2], [8], [1], [1]].map((ints, index) => {
        return graph.initializer(`bounds${index}`, [1], Int32Array.from(ints));
      });
      return graph.op('Slice', [value, ...bounds]);
    },
    { channels: 6 },
  );
  expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 4, 1, 1]);
});

it('an Add of zeros hands on a constant that loses channels', async () => {
  const built = build(
    [2, 6],
    (l, x) => {
      const zero = l.graph.op('MatMul', [x, l.weight([6, 8], { dead: [0, 1, 2, 3, 4, 5] }, 'zero')]);
      const sum = l.graph.op('Add', [zero, l.weight([2, 8], {}, 'table')]);
      return l.graph.op('MatMul', [sum, l.weight([8, 4], { dead: DEAD }, 'b')]);
    },
    { symbolic: false },
  );
  const { model } = await compacted(built);
  expect(dims(model, 'table')).toEqual([2, 5]);
  expect(dims(model, 'b')).toEqual([5, 4]);
});
