// Whole architectures with filters set to zero, as structured pruning leaves them: option-A shortcuts, Concat, Split,
// Resize, residual blocks, depthwise convolutions.
import { describe, expect, it } from 'vitest';
import { type ModelName, type NewModelOptions, newModel } from '../../models/index.js';
import type { ModelProto, TensorProto } from '../../src/onnx/schema/onnx_pb.js';
import { fillNormal } from '../models/support.js';
import { build, compacted, dims, noise } from './support.js';

function floats({ rawData }: TensorProto): Float32Array {
  return new Float32Array(rawData.buffer, rawData.byteOffset, rawData.byteLength / 4);
}

/** Sets a share of the rows of the weights to zero, and gives BatchNormalization numbers as after training. */
function prunedRows(model: ModelProto, share: (name: string) => number): ModelProto {
  for (const [seed, tensor] of (model.graph?.initializer ?? []).entries()) {
    const values = floats(tensor);
    if (tensor.name.endsWith('.weight')) {
      const rows = Number(tensor.dims[0]);
      const order = noise(rows, seed);
      const width = values.length / rows;
      const threshold = order.toSorted((a, b) => a - b)[Math.round(share(tensor.name) * rows)] ?? 2;
      for (const [row, rank] of order.entries()) if (rank < threshold) values.fill(0, row * width, (row + 1) * width);
    } else if (tensor.name.endsWith('.bias') || tensor.name.endsWith('.mean')) {
      values.set(noise(values.length, seed).map((value) => value / 4));
    }
  }
  return model;
}

const made = (name: ModelName, options: NewModelOptions) => newModel(name, options, fillNormal);

describe('architectures', { timeout: 120_000 }, () => {
  it('LeNet-5: filters and neurons go, and their blocks after Flatten', async () => {
    const model = prunedRows(made('lenet5', {}), (name) => (name === 'fc2.weight' ? 0 : 0.5));
    const { report, model: after } = await compacted({ model, feeds: { input: [2, 1, 28, 28] } });
    expect(dims(after, 'conv1.weight')).toEqual([10, 1, 5, 5]);
    expect(dims(after, 'conv2.weight')).toEqual([25, 10, 5, 5]);
    expect(dims(after, 'fc1.weight')).toEqual([250, 400]);
    expect(dims(after, 'fc2.weight')).toEqual([10, 250]);
    expect(report.left).toEqual([]);
    expect(report.after.macs.dense).toBe(10 * 25 * 24 * 24 + 25 * 10 * 25 * 8 * 8 + 250 * 400 + 250 * 10);
  });

  it('ResNet-20: inside blocks channels go, on the shortcut they are left and named', async () => {
    const model = prunedRows(made('resnet56', { depth: 20 }), (name) => (name === 'fc.weight' ? 0 : 0.5));
    const built = { model, feeds: { input: [2, 3, 32, 32] } };
    const { report, model: after } = await compacted(built);
    const inner = (after.graph?.initializer ?? []).filter(({ name }) => /conv1\.weight$/.test(name));
    expect(inner).toHaveLength(9);
    for (const {
      name,
      dims: [rows],
    } of inner) {
      const filters = 8 * 2 ** Number(/stage(\d)/.exec(name)![1]);
      // Half of them, and at most one that carries constants.
      expect(Number(rows) - filters / 2, name).toBeOneOf([0, 1]);
    }
    expect(report.after.macs.dense!).toBeLessThan(0.56 * report.before.macs.dense!);
    const reasons = new Set(report.left.map(({ reason }) => reason));
    expect([...reasons].some((reason) => /^coupled by Add .* with a channel that lives$/.test(reason))).toBe(true);
  });

  it('ResNet-20: a stage that lacks the same channels everywhere gets narrower', async () => {
    const model = made('resnet56', { depth: 20 });
    for (const tensor of model.graph?.initializer ?? []) {
      // Option A adds the first channels of a stage to the first of the next one.
      const onStream = /^(conv|stage\d\.block\d\.conv2)\.weight$/.test(tensor.name);
      const values = floats(tensor);
      if (onStream) values.fill(0, 0, (values.length / Number(tensor.dims[0])) * 4);
    }
    const { model: after, report } = await compacted({ model, feeds: { input: [2, 3, 32, 32] } });
    expect(dims(after, 'conv.weight')).toEqual([12, 3, 3, 3]);
    expect(dims(after, 'stage1.block3.conv2.weight')).toEqual([12, 16, 3, 3]);
    expect(dims(after, 'stage2.block1.conv1.weight')).toEqual([32, 12, 3, 3]);
    expect(dims(after, 'stage3.block3.conv2.weight')).toEqual([60, 64, 3, 3]);
    expect(dims(after, 'fc.weight')).toEqual([10, 60]);
    expect(report.left).toEqual([]);
  });

  it('ResNet-20: a block whose branch is dead leaves its shortcut', async () => {
    const model = made('resnet56', { depth: 20 });
    for (const tensor of model.graph?.initializer ?? []) {
      if (tensor.name === 'stage2.block2.conv1.weight') floats(tensor).fill(0);
    }
    const { model: after, report } = await compacted({ model, feeds: { input: [2, 3, 32, 32] } });
    expect(dims(after, 'stage2.block2.conv1.weight')).toBeUndefined();
    expect(dims(after, 'stage2.block2.conv2.weight')).toBeUndefined();
    expect(after.graph?.node.filter(({ opType }) => opType === 'Identity')).toHaveLength(1);
    expect(report.left).toEqual([]);
  });

  it('YOLOv4-tiny: Slice of half of the channels, Concat, Resize, two heads', async () => {
    const model = prunedRows(made('yolov4', { tiny: true, size: 64, classes: 3 }), (name) =>
      name.includes('predict') ? 0 : 0.5,
    );
    const { report } = await compacted({ model, feeds: { input: [1, 3, 64, 64] } }, { tolerance: 1e-4 });
    expect(report.after.macs.dense!).toBeLessThan(0.35 * report.before.macs.dense!);
    expect(report.left.every(({ reason }) => /^carries constants into Conv/.test(reason))).toBe(true);
  });

  it('MobileNet: inverted residual blocks', async () => {
    const built = build([2, 8, 12, 12], (l, x) => {
      let y = x;
      for (const stride of [1, 1]) {
        const relu6 = (value: string) => l.graph.op('Clip', [value, l.graph.float32(0), l.graph.float32(6)]);
        const wide = relu6(l.batchNorm(l.conv(y, [8, 24], { bias: false, dead: [3, 5, 7], name: 'expand' }), 24));
        const zeros = { dead: [5, 9, 11], kernel: 3, pad: 1, stride, group: 24, bias: false, name: 'depthwise' };
        const filtered = relu6(l.batchNorm(l.conv(wide, [24, 24], zeros), 24));
        const narrow = l.batchNorm(l.conv(filtered, [24, 8], { bias: false, unread: [9, 20], name: 'project' }), 8);
        y = l.graph.op('Add', [y, narrow]);
      }
      return l.gemm(l.graph.op('Flatten', [l.graph.op('GlobalAveragePool', [y])]), [8, 3]);
    });
    const { model, report } = await compacted(built);
    // Of the depthwise filters 5, 9, 11 and 20 go, and of the expanded channels 3 and 7 where they are zero after ReLU.
    const [rows, inputs] = dims(model, 'depthwise.weight')!;
    expect(rows).toBeLessThanOrEqual(20);
    expect(inputs).toBe(1);
    expect(dims(model, 'project.weight')).toEqual([8, rows, 1, 1]);
    expect(report.left.every(({ side }) => side === 'output')).toBe(true);
  });
});
