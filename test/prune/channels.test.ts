// Which channels go together, which stay and why: one small graph for each way that channels can meet.
import { describe, expect, test } from 'vitest';
import { GraphBuilder, type Value } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { parseGranularity } from '../../src/prune/granularity.js';
import { groupTensors } from '../../src/prune/grouping.js';
import { findPrunable } from '../../src/prune/prunable.js';

/** A graph from an image of three channels to the output `y`, with weights that are made on the way. */
class Net {
  readonly graph = GraphBuilder.create('net');
  readonly image = this.graph.input('image', 'float32', ['N', 3, 8, 8]);

  weight(name: string, dims: number[]): Value {
    return this.graph.initializer(name, dims, new Float32Array(dims.reduce((product, dim) => product * dim, 1)));
  }

  conv(x: Value, name: string, dims: number[], attributes = {}, bias: Value[] = []): Value {
    return this.graph.op('Conv', [x, this.weight(name, dims), ...bias], attributes, { name: `${name}_node` });
  }

  op(type: string, inputs: (Value | null)[], attributes = {}): Value {
    return this.graph.op(type, inputs, attributes);
  }

  /** The sets of each weight, the reasons of those that stay, and the vectors that follow. */
  sets(y: Value) {
    this.graph.output(y, 'float32', []);
    const model = modelOf(this.graph.graph, { opset: 17 });
    const parts = parseGranularity('channel');
    if (parts.kind !== 'channel') throw new Error('unreachable');
    const { prunable } = findPrunable(model);
    const { tensors, skipped, following } = groupTensors(model, prunable, parts);
    return {
      sets: Object.fromEntries([...tensors].map(([{ name }, { sets }]) => [name, [...(sets ?? [])]])),
      skipped: Object.fromEntries(skipped.map(({ name, reason }) => [name, reason])),
      following: Object.fromEntries(
        following.map(({ tensor, grouped, stays }) => [tensor.name, stays ?? [...(grouped.sets ?? [])]]),
      ),
    };
  }
}

/** Adds the layer behind which channels may go: its own stay, since they are the output. */
function ended(net: Net, x: Value, inputs: number) {
  return net.sets(net.conv(x, 'end', [2, inputs, 1, 1]));
}

test('a chain: each channel by itself, but for those of the output', () => {
  const net = new Net();
  const bias = net.weight('bias', [4]);
  const x = net.op('Relu', [net.conv(net.image, 'a', [4, 3, 3, 3], {}, [bias])]);
  expect(ended(net, x, 4)).toEqual({
    sets: { a: [0, 1, 2, 3] },
    skipped: { end: 'its output channels are those of the output end_node' },
    following: { bias: [0, 1, 2, 3] },
  });
});

describe('channels that meet', () => {
  test.each(['Add', 'Mul', 'Sub', 'Max'])('in %s go together', (type) => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [3, 3, 1, 1]);
    const b = net.op('Relu', [net.conv(a, 'b', [3, 3, 1, 1])]);
    expect(ended(net, net.op(type, [a, b]), 3).sets).toEqual({ a: [0, 1, 2], b: [0, 1, 2] });
  });

  test('over two residual blocks are one stream', () => {
    const net = new Net();
    let x = net.conv(net.image, 'a', [2, 3, 1, 1]);
    for (const name of ['b', 'c']) {
      const hidden = net.conv(x, `${name}1`, [4, 2, 1, 1]);
      x = net.op('Add', [x, net.conv(hidden, `${name}2`, [2, 4, 1, 1])]);
    }
    const { sets } = ended(net, x, 2);
    expect(sets).toEqual({ a: [0, 1], b1: [2, 3, 4, 5], b2: [0, 1], c1: [6, 7, 8, 9], c2: [0, 1] });
  });

  test('behind Concat and Slice are found by their places', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [2, 3, 1, 1]);
    const b = net.conv(net.image, 'b', [3, 3, 1, 1]);
    const c = net.conv(net.image, 'c', [2, 3, 1, 1]);
    const joined = net.op('Concat', [a, b], { axis: 1 });
    const middle = net.op('Slice', [joined, net.graph.int64([1]), net.graph.int64([3]), net.graph.int64([1])]);
    expect(ended(net, net.op('Add', [middle, c]), 2).sets).toEqual({ a: [0, 1], b: [2, 3, 4], c: [1, 2] });
  });

  test('behind Split, evenly and by sizes', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [4, 3, 1, 1]);
    const [left = '', right = ''] = net.graph.ops('Split', [a], 2, { axis: 1 });
    const [one = '', three = ''] = net.graph.ops('Split', [a, net.graph.int64([1, 3])], 2, { axis: -3 });
    const b = net.conv(one, 'b', [2, 1, 1, 1]);
    const c = net.conv(three, 'c', [2, 3, 1, 1]);
    const sum = net.op('Add', [net.op('Add', [left, b]), net.op('Add', [right, c])]);
    expect(ended(net, sum, 2).sets).toEqual({ a: [0, 1, 0, 1], b: [0, 1], c: [0, 1] });
  });

  test('a padded shortcut: the added channels are nobody else', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [2, 3, 1, 1]);
    const padded = net.op('Pad', [a, net.graph.int64([0, 1, 0, 0, 0, 1, 0, 0])]);
    const b = net.conv(net.image, 'b', [4, 3, 1, 1]);
    expect(ended(net, net.op('Add', [padded, b]), 4).sets).toEqual({ a: [0, 1], b: [2, 0, 1, 3] });
  });

  test('padded along other axes stay where they are', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [2, 3, 1, 1]);
    const padded = net.op('Pad', [a, net.graph.int64([0, 1, 0, 1]), null, net.graph.int64([2, 3])]);
    const b = net.conv(net.image, 'b', [2, 3, 1, 1]);
    expect(ended(net, net.op('Add', [padded, b]), 2).sets).toEqual({ a: [0, 1], b: [0, 1] });
  });

  test('squeeze and excitation: the gate goes with what it scales', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [3, 3, 1, 1]);
    const pooled = net.op('ReduceMean', [a], { axes: [2, 3], keepdims: 1 });
    const gate = net.op('Sigmoid', [
      net.conv(net.op('Relu', [net.conv(pooled, 'down', [1, 3, 1, 1])]), 'up', [3, 1, 1, 1]),
    ]);
    expect(ended(net, net.op('Mul', [a, gate]), 3).sets).toEqual({ a: [0, 1, 2], down: [3], up: [0, 1, 2] });
  });

  test('a map of attention with one channel couples nothing', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [3, 3, 1, 1]);
    const map = net.op('Sigmoid', [net.conv(a, 'map', [1, 3, 1, 1])]);
    expect(ended(net, net.op('Mul', [a, map]), 3).sets).toEqual({ a: [0, 1, 2], map: [3] });
  });
});

describe('convolutions in groups', () => {
  test('depthwise: the filter goes with its channel', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [3, 3, 1, 1]);
    const b = net.conv(a, 'b', [6, 1, 3, 3], { group: 3 });
    expect(ended(net, b, 6).sets).toEqual({ a: [0, 1, 2], b: [0, 0, 1, 1, 2, 2] });
  });

  test('grouped: the n-th of all groups go together, on both sides', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [4, 3, 1, 1]);
    const b = net.conv(a, 'b', [6, 2, 3, 3], { group: 2 });
    expect(ended(net, b, 6).sets).toEqual({ a: [0, 1, 0, 1], b: [2, 3, 4, 2, 3, 4] });
  });

  test('transposed: output channels are on the second axis of each group', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [4, 3, 1, 1]);
    const b = net.graph.op('ConvTranspose', [a, net.weight('b', [4, 3, 2, 2])], {});
    const c = net.graph.op('ConvTranspose', [b, net.weight('c', [3, 1, 2, 2])], { group: 3 });
    expect(ended(net, c, 3).sets).toEqual({ a: [0, 1, 2, 3], b: [4, 5, 6], c: [4, 5, 6] });
  });
});

describe('matrices', () => {
  test('Gemm after Flatten and MatMul with an added bias', () => {
    const net = new Net();
    const a = net.op('MaxPool', [net.conv(net.image, 'a', [2, 3, 1, 1])], { kernel_shape: [2, 2] });
    const flat = net.op('Flatten', [a]);
    const bias = net.weight('bias', [5]);
    const b = net.graph.op('Gemm', [flat, net.weight('b', [5, 32]), bias], { transB: 1 });
    const added = net.weight('added', [4]);
    const c = net.op('Add', [net.op('MatMul', [net.op('Relu', [b]), net.weight('c', [5, 4])]), added]);
    const d = net.op('MatMul', [c, net.weight('d', [4, 2])]);
    expect(net.sets(d)).toEqual({
      sets: { a: [0, 1], b: [2, 3, 4, 5, 6], c: [7, 8, 9, 10] },
      skipped: { d: `its output channels are those of the output ${d}` },
      following: { bias: [2, 3, 4, 5, 6], added: [7, 8, 9, 10] },
    });
  });

  test.each<[string, (net: Net, x: Value) => Value]>([
    ['to [0, -1]', (net, x) => net.op('Reshape', [x, net.graph.int64([0, -1])])],
    ['to [-1, 128]', (net, x) => net.op('Reshape', [x, net.graph.int64([-1, 128])])],
    [
      'as x.view(x.size(0), -1) is exported',
      (net, x) => {
        const length = net.op('Gather', [net.op('Shape', [x]), net.graph.int64([0])]);
        return net.op('Reshape', [x, net.op('Concat', [length, net.graph.int64([-1])], { axis: 0 })]);
      },
    ],
    ['through a mean and Squeeze', (net, x) => net.op('ReduceMean', [x], { axes: [2, 3], keepdims: 0 })],
    ['through global pooling', (net, x) => net.op('Flatten', [net.op('GlobalAveragePool', [x])])],
  ])('flattened %s', (_, flatten) => {
    const net = new Net();
    const a = net.op('Relu', [net.conv(net.image, 'a', [2, 3, 1, 1])]);
    expect(net.sets(net.op('MatMul', [flatten(net, a), net.weight('b', [128, 2])])).sets).toEqual({ a: [0, 1] });
  });

  test('the hidden layer of a transformer goes by itself; what meets attention stays', () => {
    const net = new Net();
    const tokens = net.graph.input('tokens', 'float32', ['N', 'T', 4]);
    const hidden = net.op('MatMul', [tokens, net.weight('up', [4, 6])]);
    const bias = net.op('Add', [hidden, net.weight('bias', [6])]);
    const gelu = net.op('Mul', [bias, net.op('Erf', [net.op('Div', [bias, net.graph.float32(1.4)])])]);
    const down = net.op('MatMul', [gelu, net.weight('down', [6, 4])]);
    const query = net.op('MatMul', [down, net.weight('query', [4, 4])]);
    const scores = net.op('MatMul', [query, net.op('Transpose', [down], { perm: [0, 2, 1] })]);
    const { sets, skipped } = net.sets(scores);
    expect(sets).toEqual({ up: [0, 1, 2, 3, 4, 5] });
    expect(Object.keys(skipped)).toEqual(['down', 'query']);
    expect(skipped.query).toContain('which needs all of them');
  });

  test('a constant on the left makes its rows', () => {
    const net = new Net();
    const x = net.graph.input('x', 'float32', [3, 'N']);
    const a = net.op('MatMul', [net.weight('a', [4, 3]), x]);
    const b = net.graph.op('Gemm', [net.weight('b', [4, 2]), net.op('Relu', [a])], { transA: 1 });
    expect(net.sets(b).sets).toEqual({ a: [0, 1, 2, 3] });
  });

  test('a stored transpose is seen through', () => {
    const net = new Net();
    const x = net.graph.input('x', 'float32', ['N', 3]);
    const a = net.op('MatMul', [x, net.op('Transpose', [net.weight('a', [4, 3])], { perm: [1, 0] })]);
    const b = net.op('MatMul', [a, net.op('Reshape', [net.weight('b', [2, 4]), net.graph.int64([4, 2])])]);
    const { sets, skipped } = net.sets(b);
    expect(sets).toEqual({ a: [0, 1, 2, 3] });
    expect(skipped.b).toContain('through Reshape');
  });
});

describe('channels that stay, and why', () => {
  test.each<[string, (net: Net, a: Value) => Value, string]>([
    ['mixed by an operator', (net, a) => net.op('Softmax', [a], { axis: 1 }), 'reach Softmax Softmax, which needs all'],
    ['met by the input', (net, a) => net.op('Add', [a, net.image]), 'reach Add Add, which needs all'],
    ['of another domain', (net, a) => net.graph.op('Thing', [a], {}, { domain: 'com.example' }), 'reach Thing'],
    ['summed', (net, a) => net.op('ReduceMean', [a], { axes: [1], keepdims: 1 }), 'reach ReduceMean'],
    ['reshaped away', (net, a) => net.op('Reshape', [a, net.graph.int64([1, 1, -1])]), 'reach Reshape'],
    ['a logarithm', (net, a) => net.op('Log', [a]), 'reach Log'],
    ['inverted', (net, a) => net.op('Reciprocal', [a]), 'reach Reciprocal'],
    ['raised', (net, a) => net.op('Pow', [a, net.graph.float32(-1)]), 'reach Pow'],
    ['what divides', (net, a) => net.op('Div', [net.graph.float32(1), a]), 'reach Div'],
    [
      'cut along axes that are not known',
      (net, a) => {
        const axes = net.graph.input('axes', 'int64', [1]);
        return net.op('Slice', [a, net.graph.int64([0]), net.graph.int64([1]), axes]);
      },
      'reach Slice',
    ],
    [
      'cut in steps that are not known',
      (net, a) => {
        const steps = net.graph.input('steps', 'int64', [1]);
        return net.op('Slice', [a, net.graph.int64([0]), net.graph.int64([3]), net.graph.int64([1]), steps]);
      },
      'reach Slice',
    ],
    ['the output itself', (_, a) => a, 'are those of the output'],
    [
      'padded with ones',
      (net, a) => net.op('Pad', [a, net.graph.int64([0, 1, 0, 0, 0, 0, 0, 0]), net.graph.float32(1)]),
      'reach Pad',
    ],
  ])('%s', (_, use, reason) => {
    const net = new Net();
    const { sets, skipped } = net.sets(use(net, net.conv(net.image, 'a', [3, 3, 1, 1])));
    expect(sets).toEqual({});
    expect(skipped.a).toContain(reason);
  });

  test('met by a weight that is left out', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [2, 3, 1, 1]);
    const b = net.conv(net.image, 'b', [2, 3, 1, 1]);
    const y = net.conv(net.op('Add', [a, b]), 'end', [2, 2, 1, 1]);
    net.graph.output(y, 'float32', []);
    const model = modelOf(net.graph.graph, { opset: 17 });
    const { prunable } = findPrunable(model, { exclude: ['b'] });
    const { tensors, skipped } = groupTensors(model, prunable, { kind: 'channel' });
    expect(tensors.size).toBe(0);
    expect(skipped[0]).toEqual({
      name: 'a',
      reason: 'its output channels belong together with those of b: it is not pruned',
    });
  });

  test('met by a constant channel', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [3, 3, 1, 1]);
    const joined = net.op('Concat', [net.conv(a, 'b', [2, 3, 1, 1]), net.weight('k', [1, 1, 8, 8])], { axis: 1 });
    expect(ended(net, net.op('Add', [a, joined]), 3).sets).toEqual({ a: [0, 1, -1], b: [0, 1] });
  });

  test('only some of a layer', () => {
    const net = new Net();
    const a = net.conv(net.image, 'a', [4, 3, 1, 1]);
    const [first = '', rest = ''] = net.graph.ops('Split', [a, net.graph.int64([1, 3])], 2, { axis: 1 });
    const y = net.op('Concat', [first, net.conv(rest, 'end', [2, 3, 1, 1])], { axis: 1 });
    expect(net.sets(y).sets).toEqual({ a: [-1, 0, 1, 2] });
  });
});

describe('vectors that follow', () => {
  test('scale and offset of a normalisation, not its statistics', () => {
    const net = new Net();
    const vectors = ['scale', 'offset', 'mean', 'variance'].map((name) => net.weight(name, [2]));
    const a = net.op('BatchNormalization', [net.conv(net.image, 'a', [2, 3, 1, 1]), ...vectors]);
    expect(ended(net, a, 2).following).toEqual({ scale: [0, 1], offset: [0, 1] });
  });

  test('but not behind another operator', () => {
    const net = new Net();
    const behind = (name: string) => net.op('Identity', [net.weight(name, [2])]);
    const a = net.conv(net.image, 'a', [2, 3, 1, 1], {}, [behind('bias')]);
    const b = net.op('Add', [a, net.op('Reshape', [net.weight('added', [2]), net.graph.int64([1, 2, 1, 1])])]);
    const scaled = ['scale', 'offset', 'mean', 'variance'].map(behind);
    expect(ended(net, net.op('BatchNormalization', [b, ...scaled]), 2).following).toEqual({
      bias: 'reaches its layer through Identity',
      added: 'reaches its layer through Reshape',
      scale: 'reaches its layer through Identity',
      offset: 'reaches its layer through Identity',
    });
  });

  test('but not one that layers share or somebody else reads', () => {
    const net = new Net();
    const shared = net.weight('shared', [2]);
    const read = net.weight('read', [2]);
    const a = net.conv(net.image, 'a', [2, 3, 1, 1], {}, [shared]);
    const b = net.conv(a, 'b', [2, 2, 1, 1], {}, [shared]);
    const c = net.conv(b, 'c', [2, 2, 1, 1], {}, [read]);
    const y = net.op('Mul', [net.conv(c, 'end', [2, 2, 1, 1]), net.op('Reshape', [read, net.graph.int64([2, 1, 1])])]);
    expect(net.sets(y).following).toEqual({ shared: 'shared by several layers', read: 'shared with other nodes' });
  });

  test('a shared weight has one set of channels for all its uses', () => {
    const net = new Net();
    const w = net.weight('w', [2, 2, 1, 1]);
    const a = net.conv(net.image, 'a', [2, 3, 1, 1]);
    const x = net.op('Conv', [net.op('Conv', [a, w]), w]);
    expect(ended(net, net.op('Add', [a, x]), 2).sets).toEqual({ w: [0, 1], a: [0, 1] });
  });
});
