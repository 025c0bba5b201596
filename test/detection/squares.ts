// Something that a detector can learn in seconds: pictures of one coloured square each, and a network of two convolutions.
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { newModel } from '../../models/index.js';
import type { DetectionDataset } from '../../src/data/detection/dataset.js';
import { Random } from '../../src/data/random.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';
import { network } from './support.js';

const colours = [
  { r: 250, g: 30, b: 30 },
  { r: 30, g: 250, b: 30 },
  { r: 30, g: 30, b: 250 },
];

/** Pictures of 32 x 32, each with a square of a colour that is its class. */
export async function squares(count: number): Promise<DetectionDataset & { remove: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'secateur-squares-'));
  const random = new Random(5);
  const images = Array.from({ length: count }, (_, id) => {
    const side = 5 + random.below(8);
    const box = [random.below(32 - side), random.below(32 - side), side, side] as const;
    const labels = [{ category: id % 3, box, crowd: false, area: side * side }];
    return { id, path: join(folder, `${id}.png`), width: 32, height: 32, labels };
  });
  for (const { path, labels } of images) {
    const [{ category, box }] = labels as [(typeof labels)[number]];
    const [left, top, side] = box;
    const square = { create: { width: side, height: side, channels: 3 as const, background: colours[category]! } };
    await sharp({ create: { width: 32, height: 32, channels: 3, background: { r: 20, g: 20, b: 20 } } })
      .composite([{ input: square, left, top }])
      .png()
      .toFile(path);
  }
  const remove = () => rm(folder, { recursive: true, force: true });
  return { name: 'squares', classes: ['red', 'green', 'blue'], categoryIds: [1, 2, 3], images, remove };
}

/** The network of support.ts, with weights: a hidden layer for each head. */
export function smallDetector(): ModelProto {
  const g = GraphBuilder.create('small');
  const random = new Random(9);
  const normal = (shape: readonly number[], scale: number) => {
    const size = shape.reduce((product, length) => product * length, 1);
    return Float32Array.from({ length: size }, () => scale * (random.uniform() + random.uniform() - 1));
  };
  const input = g.input('input', 'float32', ['N', 3, 32, 32]);
  for (const { output, stride } of network.heads) {
    const scope = g.scope(output);
    const hidden = scope.initializer(
      'hidden.weight',
      [24, 3, stride + 4, stride + 4],
      normal([24, 3, stride + 4, stride + 4], 0.2),
    );
    const attributes = { kernel_shape: [stride + 4, stride + 4], strides: [stride, stride], pads: [2, 2, 2, 2] };
    const active = scope.op('LeakyRelu', [scope.op('Conv', [input, hidden], attributes)]);
    const weights = [
      scope.initializer('predict.weight', [16, 24, 1, 1], normal([16, 24, 1, 1], 0.2)),
      scope.initializer('predict.bias', [16], new Float32Array(16)),
    ];
    g.output(scope.op('Conv', [active, ...weights], { kernel_shape: [1, 1] }, { outputs: [output] }), 'float32', [
      ...['N', 16, 32 / stride, 32 / stride],
    ]);
  }
  return modelOf(g.graph, { opset: 17, metadata: { heads: JSON.stringify(network.heads), classes: '3' } });
}

/** YOLOv4-tiny with weights of 0. */
export function tinyYolo(size: number, classes: number): ModelProto {
  return newModel('yolov4', { tiny: true, size, classes }, () => undefined);
}
