// Every operator that compaction looks into: dead channels go through it, and the outputs stay.
import { describe, expect, it } from 'vitest';
import { float } from '../../src/onnx/build/attributes.js';
import type { Value } from '../../src/onnx/build/graph-builder.js';
import { build, compacted, dims, type Layers, operators } from './support.js';

const DEAD = [1, 4, 5];

/** Conv with three of eight channels dead, the operator, a Conv that reads what comes. */
function between(make: (layers: Layers, value: Value) => Value, { channels = 8, opset = 17 } = {}) {
  return build(
    [2, 3, 6, 6],
    (l, x) => l.conv(make(l, l.conv(x, [3, 8], { dead: DEAD, name: 'a' })), [channels, 4], { name: 'b' }),
    { opset },
  );
}

describe('elementwise operators of one operand', () => {
  const plain = ['Relu', 'LeakyRelu', 'Sigmoid', 'Tanh', 'Softplus', 'Softsign', 'Elu', 'Selu', 'HardSigmoid'];
  const more = ['HardSwish', 'Erf', 'Exp', 'Neg', 'Abs', 'Identity', 'Dropout', 'Floor', 'Ceil', 'Sign', 'Celu'];
  it.each([...plain, ...more])('%s', async (op) => {
    const { model } = await compacted(between(({ graph }, value) => graph.op(op, [value])));
    expect(dims(model, 'a.weight')).toEqual([5, 3, 1, 1]);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it.each([
    ['Mish', 18],
    ['Gelu', 20],
    ['ThresholdedRelu', 17],
    ['Reciprocal', 17],
  ])('%s', async (op, opset) => {
    const { model } = await compacted(between(({ graph }, value) => graph.op(op, [value]), { opset }));
    expect(dims(model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('Gelu by tanh, LeakyRelu, Elu and Clip with attributes', async () => {
    const built = between(
      ({ graph }, value) => {
        const a = graph.op('Gelu', [value], { approximate: 'tanh' });
        const b = graph.op('LeakyRelu', [a], { alpha: float(0.3) });
        const c = graph.op('Elu', [b], { alpha: float(0.7) });
        return graph.op('Clip', [c, graph.float32(-0.2), graph.float32(0.3)]);
      },
      { opset: 20 },
    );
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('Sqrt and Log of positive numbers', async () => {
    const built = between(({ graph }, value) =>
      graph.op('Log', [graph.op('Sqrt', [graph.op('Add', [graph.op('Abs', [value]), graph.float32(1)])])]),
    );
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('Clip with one bound, as in ReLU6', async () => {
    const built = between(({ graph }, value) => graph.op('Clip', [value, null, graph.float32(0.1)]));
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('Mish as Softplus, Tanh and Mul', async () => {
    const built = between(({ graph }, value) =>
      graph.op('Mul', [value, graph.op('Tanh', [graph.op('Softplus', [value])])]),
    );
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('PRelu with a slope a channel and with one for all', async () => {
    const own = between((l, value) => l.graph.op('PRelu', [value, l.weight([8, 1, 1], {}, 'slope', [0, 0])]));
    const { model } = await compacted(own);
    expect(dims(model, 'slope')).toEqual([5, 1, 1]);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 1, 1]);
    const shared = between(({ graph }, value) => graph.op('PRelu', [value, graph.float32([0.2])]));
    expect(dims((await compacted(shared)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });
});

describe('elementwise operators of several operands', () => {
  it.each(['Add', 'Sub', 'Mul', 'Div', 'Max', 'Min', 'Pow'])('%s with a constant a channel', async (op) => {
    const built = between((l, value) => {
      const positive = l.graph.op('Abs', [value]);
      const operand = l.weight([8, 1, 1], {}, 'operand', [0, 0]);
      return l.graph.op(op, [l.graph.op('Add', [positive, l.graph.float32(1)]), operand]);
    });
    const { model } = await compacted(built);
    expect(dims(model, 'operand')).toEqual([5, 1, 1]);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it.each(['Add', 'Sub', 'Mul', 'Max', 'Mean', 'Sum'])('%s of two layers that lack the same channels', async (op) => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const sides = ['left', 'right'].map((name) => l.conv(x, [3, 8], { dead: DEAD, name }));
      return l.conv(l.graph.op(op, sides), [8, 4], { name: 'b' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'left.weight')).toEqual([5, 3, 1, 1]);
    expect(dims(model, 'right.weight')).toEqual([5, 3, 1, 1]);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('Mul with zero takes the channels of the other side along', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const left = l.conv(x, [3, 8], { dead: DEAD, bias: false, name: 'left' });
      return l.conv(l.graph.op('Mul', [left, l.conv(x, [3, 8], { name: 'right' })]), [8, 4], { kernel: 3, pad: 1 });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'left.weight')).toEqual([5, 3, 1, 1]);
    expect(dims(model, 'right.weight')).toEqual([5, 3, 1, 1]);
  });

  it('squeeze and excitation: a factor for each channel, computed from the channels', async () => {
    const built = between((l, value) => {
      const pooled = l.graph.op('GlobalAveragePool', [value]);
      const squeezed = l.graph.op('Relu', [l.conv(pooled, [8, 4], { dead: [2], name: 'squeeze' })]);
      const factor = l.graph.op('Sigmoid', [l.conv(squeezed, [4, 8], { name: 'excite' })]);
      return l.graph.op('Mul', [value, factor]);
    });
    const { model, report } = await compacted(built);
    expect(dims(model, 'squeeze.weight')).toEqual([3, 8, 1, 1]);
    // The constants of a's dead channels are scaled by factors that differ from image to image.
    expect(dims(model, 'a.weight')).toEqual([8, 3, 1, 1]);
    expect(report.left).toMatchObject([{ layer: 'a', side: 'output', channels: 3 }]);
  });

  it('squeeze and excitation of channels that are zero', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const value = l.conv(x, [3, 8], { dead: DEAD, bias: false, name: 'a' });
      const squeezed = l.conv(l.graph.op('GlobalAveragePool', [value]), [8, 4], { name: 'squeeze' });
      const factor = l.graph.op('Sigmoid', [l.conv(squeezed, [4, 8], { name: 'excite' })]);
      return l.conv(l.graph.op('Mul', [value, factor]), [8, 4], { kernel: 3, pad: 1, name: 'b' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([5, 3, 1, 1]);
    expect(dims(model, 'squeeze.weight')).toEqual([4, 5, 1, 1]);
    expect(dims(model, 'excite.weight')).toEqual([5, 4, 1, 1]);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 3, 3]);
  });
});

describe('pooling, resizing and reductions', () => {
  it.each([
    ['MaxPool', { kernel_shape: [2, 2], strides: [2, 2] }],
    ['MaxPool', { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }],
    ['AveragePool', { kernel_shape: [2, 2] }],
    ['AveragePool', { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }],
    ['GlobalAveragePool', {}],
    ['GlobalMaxPool', {}],
    ['ReduceMean', { axes: [2, 3], keepdims: 1 }],
    ['ReduceMax', { axes: [-1], keepdims: 1 }],
  ])('%s %j', async (op, attributes) => {
    const { model } = await compacted(between(({ graph }, value) => graph.op(op, [value], attributes)));
    expect(dims(model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('AveragePool that counts padding makes a constant channel uneven', async () => {
    const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], count_include_pad: 1 };
    const { model, report } = await compacted(
      between(({ graph }, value) => graph.op('AveragePool', [value], attributes)),
    );
    expect(dims(model, 'b.weight')).toEqual([4, 8, 1, 1]);
    expect(report.left).toMatchObject([{ layer: 'a', channels: 3, reason: 'read by Conv b' }]);
  });

  it('ReduceMean without kept axes, then Gemm', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      return l.gemm(l.graph.op('ReduceMean', [a], { axes: [2, 3], keepdims: 0 }), [8, 4]);
    });
    expect(dims((await compacted(built)).model, 'fc.weight')).toEqual([4, 5]);
  });

  it.each(['nearest', 'linear', 'cubic'])('Resize %s by scales', async (mode) => {
    const built = between(({ graph }, value) =>
      graph.op('Resize', [value, null, graph.float32([1, 1, 2, 2])], {
        mode,
        coordinate_transformation_mode: 'asymmetric',
      }),
    );
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('Resize by sizes, which count channels', async () => {
    const built = build(
      [2, 3, 6, 6],
      (l, x) => {
        const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
        const sizes = l.graph.int64([2, 8, 9, 9]);
        return l.conv(l.graph.op('Resize', [a, null, null, sizes], { mode: 'nearest' }), [8, 4], { name: 'b' });
      },
      { symbolic: false },
    );
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('InstanceNormalization of channels that are zero', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, bias: false, name: 'a' });
      return l.conv(l.graph.op('InstanceNormalization', [a, l.vector(8), l.vector(8)]), [8, 4], { name: 'b' });
    });
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });
});

describe('operators that move channels', () => {
  it('Concat, with an input that is dead altogether', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      const gone = l.graph.op('Softplus', [l.conv(x, [3, 2], { dead: [0, 1], name: 'gone' })]);
      const c = l.conv(x, [3, 4], { name: 'c' });
      return l.conv(l.graph.op('Concat', [a, gone, c], { axis: 1 }), [14, 4], { unread: [11, 12], name: 'b' });
    });
    const { model, report } = await compacted(built);
    expect(dims(model, 'b.weight')).toEqual([4, 7, 1, 1]);
    expect(dims(model, 'c.weight')).toEqual([2, 3, 1, 1]);
    expect(dims(model, 'gone.weight')).toBeUndefined();
    expect(model.graph!.node.find(({ opType }) => opType === 'Concat')!.input).toHaveLength(2);
    expect(report.layers).toContainEqual({
      name: 'gone',
      op: 'Conv',
      inputs: { before: 3, after: 0 },
      outputs: { before: 2, after: 0 },
    });
  });

  it('Concat of a value with itself', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      return l.conv(l.graph.op('Concat', [a, a], { axis: 1 }), [16, 4], { name: 'b' });
    });
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 10, 1, 1]);
  });

  it.each([
    [11, true],
    [17, false],
  ])('Split in opset %d', async (opset, asAttribute) => {
    const built = build(
      [2, 3, 6, 6],
      (l, x) => {
        const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
        const inputs = asAttribute ? [a] : [a, l.graph.int64([4, 2, 2])];
        const [left, middle, right] = l.graph.ops('Split', inputs, 3, {
          axis: 1,
          ...(asAttribute && { split: [4, 2, 2] }),
        });
        const sum = l.graph.op('Add', [l.conv(left!, [4, 4]), l.conv(right!, [2, 4])]);
        return l.graph.op('Add', [sum, l.conv(middle!, [2, 4])]);
      },
      { opset },
    );
    const { model } = await compacted(built);
    // Channels 4 and 5 were the whole second part.
    expect(dims(model, 'a.weight')).toEqual([5, 3, 1, 1]);
    expect(dims(model, 'conv.weight')).toEqual([4, 3, 1, 1]);
    expect(model.graph!.node.find(({ opType }) => opType === 'Split')!.output).toHaveLength(2);
  });

  it('Split into equal parts that are no longer equal', async () => {
    const built = build(
      [2, 3, 6, 6],
      (l, x) => {
        const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
        const [left, right] = l.graph.ops('Split', [a], 2, { axis: 1, num_outputs: 2 });
        return l.graph.op('Add', [l.conv(left!, [4, 4]), l.conv(right!, [4, 4])]);
      },
      { opset: 18 },
    );
    const { model } = await compacted(built);
    expect(dims(model, 'conv.weight')).toEqual([4, 3, 1, 1]);
    expect(dims(model, 'conv.weight_1')).toEqual([4, 2, 1, 1]);
  });

  it('Slice of some channels', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      const end = 2 ** 31 - 1;
      const half = l.graph.op('Slice', [a, l.graph.int64([4, 1]), l.graph.int64([end, 5]), l.graph.int64([1, 2])]);
      return l.conv(half, [4, 4], { unread: [3], name: 'b' });
    });
    const { model } = await compacted(built);
    // Only channel 6 is read: 4 and 5 are constant, 7 and those before 4 are read by nobody.
    expect(dims(model, 'a.weight')).toEqual([1, 3, 1, 1]);
    expect(dims(model, 'b.weight')).toEqual([4, 1, 1, 1]);
  });

  it('Slice in opset 9, with attributes', async () => {
    const built = build(
      [2, 3, 6, 6],
      (l, x) => {
        const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
        return l.conv(l.graph.op('Slice', [a], { starts: [2], ends: [-1], axes: [1] }), [5, 4], { name: 'b' });
      },
      { opset: 9 },
    );
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 3, 1, 1]);
  });

  it('Slice in steps along channels leaves them', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      const inputs = [[0], [8], [1], [2]].map((list) => l.graph.int64(list));
      return l.conv(l.graph.op('Slice', [a, ...inputs]), [4, 4], { name: 'b' });
    });
    const { model, report } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([8, 3, 1, 1]);
    expect(report.left).toMatchObject([{ layer: 'a', channels: 3, reason: 'sliced in steps by Slice' }]);
  });

  it('Pad of space with zeros, and of channels', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, bias: false, name: 'a' });
      const padded = l.graph.op('Pad', [a, l.graph.int64([0, 2, 1, 1, 0, 1, 1, 1])]);
      return l.conv(padded, [11, 4], { kernel: 3, name: 'b' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 3, 3]);
  });

  it('Pad of channels with another number, which is folded', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      const padded = l.graph.op('Pad', [a, l.graph.int64([0, 2, 0, 0, 0, 1, 0, 0]), l.graph.float32(1.5)]);
      return l.conv(padded, [11, 4], { name: 'b' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it.each(['reflect', 'edge'])('Pad %s of space', async (mode) => {
    const built = between(({ graph }, value) =>
      graph.op('Pad', [value, graph.int64([0, 0, 1, 1, 0, 0, 1, 1])], { mode }),
    );
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('Pad with axes', async () => {
    const built = between(({ graph }, value) => graph.op('Pad', [value, graph.int64([1, 2]), null, graph.int64([1])]), {
      channels: 11,
      opset: 18,
    });
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('Transpose to channels last, MatMul, and back', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.graph.op('Transpose', [l.conv(x, [3, 8], { dead: DEAD, name: 'a' })], { perm: [0, 2, 3, 1] });
      const product = l.graph.op('MatMul', [a, l.weight([8, 4], {}, 'matrix')]);
      return l.conv(l.graph.op('Transpose', [product], { perm: [0, 3, 1, 2] }), [4, 2], { name: 'b', unread: [2] });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'matrix')).toEqual([5, 3]);
    expect(operators(model)).toEqual(['Conv', 'Transpose', 'MatMul', 'Add', 'Transpose', 'Conv']);
  });

  it('Squeeze and Unsqueeze', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const pooled = l.graph.op('GlobalAveragePool', [l.conv(x, [3, 8], { dead: DEAD, name: 'a' })]);
      const flat = l.graph.op('Squeeze', [pooled, l.graph.int64([2, 3])]);
      return l.conv(l.graph.op('Unsqueeze', [flat, l.graph.int64([-1, 2])]), [8, 4], { name: 'b' });
    });
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5, 1, 1]);
  });

  it('Flatten: a channel is a block of H x W neurons', async () => {
    const built = build([2, 3, 4, 4], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      return l.gemm(l.graph.op('Flatten', [a], { axis: 1 }), [128, 4]);
    });
    expect(dims((await compacted(built)).model, 'fc.weight')).toEqual([4, 80]);
  });

  it.each([
    ['constant, with 0 and -1', (l: Layers) => l.graph.int64([0, -1])],
    ['constant, with numbers', (l: Layers) => l.graph.int64([-1, 128])],
  ])('Reshape to a %s', async (_, target) => {
    const built = build([2, 3, 4, 4], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      return l.gemm(l.graph.op('Reshape', [a, target(l)]), [128, 4]);
    });
    expect(dims((await compacted(built)).model, 'fc.weight')).toEqual([4, 80]);
  });

  it('Reshape to a shape that is computed from the batch, as exporters write it', async () => {
    const built = build([2, 3, 4, 4], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      const batch = l.graph.op('Gather', [l.graph.op('Shape', [a]), l.graph.int64(0)], { axis: 0 });
      const shape = [l.graph.op('Unsqueeze', [batch, l.graph.int64([0])]), l.graph.int64([-1])];
      return l.gemm(l.graph.op('Reshape', [a, l.graph.op('Concat', shape, { axis: 0 })]), [128, 4]);
    });
    const { model } = await compacted(built);
    expect(dims(model, 'fc.weight')).toEqual([4, 80]);
    expect(operators(model)).toEqual(['Conv', 'Reshape', 'Gemm']);
  });

  it('Reshape of a block of neurons to channels', async () => {
    const built = build([2, 5], (l, x) => {
      const dead = [0, 1, 2, 3, 8, 9, 10, 11, 13];
      const a = l.graph.op('Relu', [l.gemm(x, [5, 16], { dead, name: 'fc' })]);
      return l.conv(l.graph.op('Reshape', [a, l.graph.int64([-1, 4, 2, 2])]), [4, 2], { unread: [0, 2], name: 'b' });
    });
    const { model, report } = await compacted(built);
    expect(dims(model, 'fc.weight')).toEqual([8, 5]);
    expect(dims(model, 'b.weight')).toEqual([2, 2, 1, 1]);
    // Neuron 13 is a pixel of a channel that lives.
    expect(report.left).toMatchObject([{ layer: 'fc', side: 'output', channels: 1 }]);
  });
});

describe('layers', () => {
  it('depthwise Conv: a channel goes with its filter', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const expanded = l.graph.op('Relu', [l.batchNorm(l.conv(x, [3, 8], { name: 'expand', bias: false }), 8)]);
      const filtered = l.conv(expanded, [8, 8], {
        kernel: 3,
        pad: 1,
        group: 8,
        dead: DEAD,
        name: 'depthwise',
        bias: false,
      });
      return l.conv(l.graph.op('Relu', [l.batchNorm(filtered, 8)]), [8, 4], { name: 'project' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'expand.weight')).toEqual([5, 3, 1, 1]);
    expect(dims(model, 'depthwise.weight')).toEqual([5, 1, 3, 3]);
    expect(dims(model, 'project.weight')).toEqual([4, 5, 1, 1]);
    const depthwise = model.graph!.node.find(({ name }) => name === 'depthwise')!;
    expect(depthwise.attribute.find(({ name }) => name === 'group')!.i).toBe(5n);
  });

  it('grouped Conv: a group goes as a whole', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { name: 'a' });
      const grouped = l.conv(a, [8, 12], { group: 4, dead: [0, 3, 4, 5], name: 'grouped' });
      return l.conv(grouped, [12, 4], { name: 'b' });
    });
    const { model, report } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([6, 3, 1, 1]);
    expect(dims(model, 'grouped.weight')).toEqual([9, 2, 1, 1]);
    expect(dims(model, 'b.weight')).toEqual([4, 9, 1, 1]);
    expect(report.left).toMatchObject([{ layer: 'grouped', side: 'output', channels: 1 }]);
  });

  it('grouped Conv: the n-th channels of all groups go', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { name: 'a' });
      const grouped = l.conv(a, [8, 12], { group: 2, dead: [1, 7, 5, 11, 0], unread: [3], name: 'grouped' });
      return l.conv(grouped, [12, 4], { name: 'b' });
    });
    const { model, report } = await compacted(built);
    // Of six outputs a group the second and the last go, of four inputs the last; the first is dead in one group only.
    expect(dims(model, 'a.weight')).toEqual([6, 3, 1, 1]);
    expect(dims(model, 'grouped.weight')).toEqual([8, 3, 1, 1]);
    expect(dims(model, 'b.weight')).toEqual([4, 8, 1, 1]);
    expect(report.left).toMatchObject([{ layer: 'grouped', side: 'output', channels: 1 }]);
  });

  it('grouped Conv: constants that all groups lack go into the bias', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: [1, 5, 2], name: 'a' });
      return l.conv(l.conv(l.graph.op('Sigmoid', [a]), [8, 12], { group: 2, name: 'grouped' }), [12, 4], { name: 'b' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([6, 3, 1, 1]);
    expect(dims(model, 'grouped.weight')).toEqual([12, 3, 1, 1]);
  });

  it('grouped ConvTranspose, whole groups and n-th channels', async () => {
    const built = build([2, 3, 5, 5], (l, x) => {
      const a = l.graph.op('Relu', [l.conv(x, [3, 8], { dead: [2, 6], bias: false, name: 'a' })]);
      const up = l.graph.op('ConvTranspose', [a, l.weight([8, 3, 2, 2], {}, 'up')], { strides: [2, 2], group: 2 });
      return l.conv(up, [6, 4], { unread: [1, 4], name: 'b' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([6, 3, 1, 1]);
    expect(dims(model, 'up')).toEqual([6, 2, 2, 2]);
    expect(dims(model, 'b.weight')).toEqual([4, 4, 1, 1]);
  });

  it('ConvTranspose, with channels in and out', async () => {
    const built = build([2, 3, 5, 5], (l, x) => {
      const a = l.graph.op('Relu', [l.conv(x, [3, 8], { dead: DEAD, bias: false, name: 'a' })]);
      const w = l.weight([8, 6, 2, 2], { dead: [1, 2], unread: [7] }, 'up.weight', [1, 0]);
      const up = l.graph.op('ConvTranspose', [a, w, l.vector(6, 'up.bias')], { strides: [2, 2] }, { name: 'up' });
      return l.conv(up, [6, 4], { name: 'b' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([4, 3, 1, 1]);
    expect(dims(model, 'up.weight')).toEqual([4, 4, 2, 2]);
    expect(dims(model, 'up.bias')).toEqual([4]);
    expect(dims(model, 'b.weight')).toEqual([4, 4, 1, 1]);
  });

  it('ConvTranspose merges constants into a carrier', async () => {
    const built = build([2, 3, 5, 5], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      return l.graph.op('ConvTranspose', [a, l.weight([8, 6, 3, 3], {}, 'up.weight')], {
        strides: [2, 2],
        pads: [1, 1, 1, 1],
      });
    });
    expect(dims((await compacted(built)).model, 'up.weight')).toEqual([6, 6, 3, 3]);
  });

  it.each([
    [{ transB: 1 }, [4, 5]],
    [{ transB: 0 }, [5, 4]],
    [{ transB: 1, alpha: float(0.5) }, [4, 5]],
    [{ transB: 1, alpha: float(2), beta: float(3) }, [4, 8]],
  ])('Gemm %j', async (attributes, wanted) => {
    const built = build([2, 6], (l, x) => {
      const a = l.graph.op('Sigmoid', [l.gemm(x, [6, 8], { dead: DEAD, name: 'a' })]);
      const w = l.weight(attributes.transB === 1 ? [4, 8] : [8, 4], {}, 'w');
      return l.graph.op('Gemm', [a, w, l.vector(4, 'c')], attributes);
    });
    expect(dims((await compacted(built)).model, 'w')).toEqual(wanted);
  });

  it('Gemm without a bias gets one', async () => {
    const built = build([2, 6], (l, x) => {
      const a = l.gemm(x, [6, 8], { dead: DEAD, name: 'a' });
      return l.graph.op('Gemm', [a, l.weight([4, 8], {}, 'w')], { transB: 1 });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'w')).toEqual([4, 5]);
    expect(model.graph!.node.at(-1)!.input).toHaveLength(3);
  });

  it('MatMul and Add, as most exporters write a fully connected layer', async () => {
    const built = build(
      [2, 7, 6],
      (l, x) => {
        const hidden = l.graph.op('Add', [
          l.graph.op('MatMul', [x, l.weight([6, 8], { dead: DEAD }, 'w1', [1, 0])]),
          l.vector(8, 'b1'),
        ]);
        const out = l.graph.op('MatMul', [l.graph.op('Gelu', [hidden]), l.weight([8, 6], {}, 'w2')]);
        return l.graph.op('Add', [out, l.vector(6, 'b2')]);
      },
      { opset: 20 },
    );
    const { model } = await compacted(built);
    expect(dims(model, 'w1')).toEqual([6, 5]);
    expect(dims(model, 'b1')).toEqual([5]);
    expect(dims(model, 'w2')).toEqual([5, 6]);
  });

  it('a weight seen through Transpose', async () => {
    const built = build([2, 6], (l, x) => {
      const w1 = l.graph.op('Transpose', [l.weight([8, 6], { dead: DEAD }, 'w1')], { perm: [1, 0] });
      const hidden = l.graph.op('Relu', [l.graph.op('MatMul', [x, w1])]);
      return l.graph.op('MatMul', [hidden, l.graph.op('Transpose', [l.weight([4, 8], {}, 'w2')])]);
    });
    const { model } = await compacted(built);
    expect(dims(model, 'w1')).toEqual([5, 6]);
    expect(dims(model, 'w2')).toEqual([4, 5]);
  });

  it('Softmax and LayerNormalization along channels need all of them', async () => {
    const built = build([2, 7, 6], (l, x) => {
      const hidden = l.graph.op('MatMul', [x, l.weight([6, 8], { dead: DEAD }, 'w1', [1, 0])]);
      const normal = l.graph.op('LayerNormalization', [hidden, l.vector(8), l.vector(8)], { axis: -1 });
      const softmax = l.graph.op('Softmax', [normal], { axis: -1 });
      return l.graph.op('MatMul', [softmax, l.weight([8, 4], { unread: [0] }, 'w2', [1, 0])]);
    });
    const { model, report } = await compacted(built);
    expect(dims(model, 'w1')).toEqual([6, 8]);
    expect(report.left).toContainEqual({
      layer: 'MatMul_1',
      side: 'input',
      channels: 1,
      reason: 'read by Softmax Softmax, which needs all channels',
    });
  });

  it('attention: a head that is dead goes', async () => {
    const built = build([2, 5, 6], (l, x) => {
      const head = [4, 5, 6, 7];
      const project = (name: string, dead: number[]) => {
        const y = l.graph.op('MatMul', [x, l.weight([6, 12], { dead }, name, [1, 0])]);
        const heads = l.graph.op('Reshape', [y, l.graph.int64([0, 0, 3, 4])]);
        return l.graph.op('Transpose', [heads], { perm: name === 'k' ? [0, 2, 3, 1] : [0, 2, 1, 3] });
      };
      const scores = l.graph.op('Softmax', [l.graph.op('MatMul', [project('q', []), project('k', [])])], { axis: -1 });
      const mixed = l.graph.op('Transpose', [l.graph.op('MatMul', [scores, project('v', head)])], {
        perm: [0, 2, 1, 3],
      });
      const joined = l.graph.op('Reshape', [mixed, l.graph.int64([0, 0, 12])]);
      return l.graph.op('MatMul', [joined, l.weight([12, 6], {}, 'out')]);
    });
    const { model } = await compacted(built);
    for (const name of ['q', 'k', 'v']) expect(dims(model, name)).toEqual([6, 8]);
    expect(dims(model, 'out')).toEqual([8, 6]);
  });
});
