// Darknet's files, written by the tests: the cfg of YOLOv4 and YOLOv4-tiny from what their layers are, and weights in the
// layout of Darknet's `save_weights`.
import { writeFileSync } from 'node:fs';
import type { ModelProto } from '../../../src/onnx/schema/onnx_pb.js';

type Values = Record<string, number | string>;

/** One section of a cfg. */
export function section(type: string, values: Values = {}): string {
  return [`[${type}]`, ...Object.entries(values).map(([key, value]) => `${key}=${value}`), ''].join('\n');
}

export function net(size: number, more: Values = {}): string {
  return section('net', {
    batch: 64,
    subdivisions: 8,
    width: size,
    height: size,
    channels: 3,
    momentum: 0.949,
    ...more,
  });
}

/** A convolution with BatchNormalization that keeps or halves the size. */
export function conv(filters: number, size: number, activation: string, stride = 1): string {
  return section('convolutional', { batch_normalize: 1, filters, size, stride, pad: 1, activation });
}

/** The linear convolution before a head. */
export function predict(filters: number): string {
  return section('convolutional', { size: 1, stride: 1, pad: 1, filters, activation: 'linear' });
}

export function route(...layers: number[]): string {
  return section('route', { layers: layers.join(', ') });
}

/** YOLOv4, 162 layers. */
export function yolov4Cfg(size: number, classes: number): string {
  const anchors = '12, 16, 19, 36, 40, 28, 36, 75, 76, 55, 72, 146, 142, 110, 192, 243, 459, 401';
  const stage = (filters: number, branch: number, bottleneck: number, blocks: number) => [
    conv(filters, 3, 'mish', 2),
    conv(branch, 1, 'mish'),
    route(-2),
    conv(branch, 1, 'mish'),
    ...Array.from({ length: blocks }, () => [
      conv(bottleneck, 1, 'mish'),
      conv(branch, 3, 'mish'),
      section('shortcut', { from: -3, activation: 'linear' }),
    ]).flat(),
    conv(branch, 1, 'mish'),
    route(-1, -(3 * blocks + 4)),
    conv(filters, 1, 'mish'),
  ];
  const alternate = (filters: number, count: number) =>
    Array.from({ length: count }, (_, index) =>
      index % 2 === 0 ? conv(filters, 1, 'leaky') : conv(2 * filters, 3, 'leaky'),
    );
  const head = (filters: number, first: number, scale: number) => [
    conv(filters, 3, 'leaky'),
    predict(3 * (5 + classes)),
    section('yolo', {
      ...{ mask: [first, first + 1, first + 2].join(','), anchors, classes, num: 9, jitter: 0.3, scale_x_y: scale },
      ...{ iou_loss: 'ciou', nms_kind: 'greedynms', beta_nms: 0.6, iou_normalizer: 0.07 },
    }),
  ];
  const pool = (kernel: number) => section('maxpool', { stride: 1, size: kernel });
  return [
    net(size),
    conv(32, 3, 'mish'),
    ...[stage(64, 64, 32, 1), stage(128, 64, 64, 2), stage(256, 128, 128, 8)].flat(),
    ...[stage(512, 256, 256, 8), stage(1024, 512, 512, 4)].flat(),
    ...[...alternate(512, 3), pool(5), route(-2), pool(9), route(-4), pool(13), route(-1, -3, -5, -6)],
    ...alternate(512, 3),
    ...[conv(256, 1, 'leaky'), section('upsample', { stride: 2 }), route(85), conv(256, 1, 'leaky'), route(-1, -3)],
    ...alternate(256, 5),
    ...[conv(128, 1, 'leaky'), section('upsample', { stride: 2 }), route(54), conv(128, 1, 'leaky'), route(-1, -3)],
    ...[...alternate(128, 5), ...head(256, 0, 1.2)],
    ...[route(-4), conv(256, 3, 'leaky', 2), route(-1, -16), ...alternate(256, 5), ...head(512, 3, 1.1)],
    ...[route(-4), conv(512, 3, 'leaky', 2), route(-1, -37), ...alternate(512, 5), ...head(1024, 6, 1.05)],
  ].join('\n');
}

/** YOLOv4-tiny, 38 layers. */
export function yolov4TinyCfg(size: number, classes: number): string {
  const anchors = '10,14, 23,27, 37,58, 81,82, 135,169, 344,319';
  const stage = (filters: number) => [
    conv(filters, 3, 'leaky'),
    section('route', { layers: -1, groups: 2, group_id: 1 }),
    conv(filters / 2, 3, 'leaky'),
    conv(filters / 2, 3, 'leaky'),
    route(-1, -2),
    conv(filters, 1, 'leaky'),
    route(-6, -1),
    section('maxpool', { size: 2, stride: 2 }),
  ];
  const head = (filters: number, mask: string) => [
    conv(filters, 3, 'leaky'),
    predict(3 * (5 + classes)),
    section('yolo', { mask, anchors, classes, num: 6, scale_x_y: 1.05, ignore_thresh: 0.7, random: 0 }),
  ];
  return [
    net(size),
    ...[conv(32, 3, 'leaky', 2), conv(64, 3, 'leaky', 2), ...stage(64), ...stage(128), ...stage(256)],
    ...[conv(512, 3, 'leaky'), conv(256, 1, 'leaky'), ...head(512, '3,4,5')],
    ...[route(-4), conv(128, 1, 'leaky'), section('upsample', { stride: 2 }), route(-1, 23), ...head(256, '1,2,3')],
  ].join('\n');
}

/** A weights file: the header, then numbers. Version 0.2 counts pictures in 64 bits, older ones in 32. */
export function writeWeights(path: string, numbers: readonly Float32Array[], { version = [0, 2, 5], seen = 7 } = {}) {
  const wide = (version[0] ?? 0) * 10 + (version[1] ?? 0) >= 2;
  const header = Buffer.alloc(wide ? 20 : 16);
  for (const [index, number] of version.entries()) header.writeInt32LE(number, 4 * index);
  if (wide) header.writeBigInt64LE(BigInt(seen), 12);
  else header.writeInt32LE(seen, 12);
  const bodies = numbers.map((values) => Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  writeFileSync(path, Buffer.concat([header, ...bodies]));
}

/** The parameters of a model built here in Darknet's order: for each Conv biases, scales, means, variances, weights. */
export function darknetOrder(model: ModelProto): Float32Array[] {
  const nodes = model.graph?.node ?? [];
  const tensors = new Map(
    (model.graph?.initializer ?? []).map(({ name, rawData: { buffer, byteOffset, byteLength } }) => [
      name,
      new Float32Array(buffer, byteOffset, byteLength / 4),
    ]),
  );
  const get = (name: string | undefined) => tensors.get(name ?? '') ?? new Float32Array();
  return nodes.flatMap(({ opType, input, output }) => {
    if (opType !== 'Conv') return [];
    const norm = nodes.find((node) => node.opType === 'BatchNormalization' && node.input[0] === output[0]);
    const [, scale, bias, mean, variance] = norm?.input ?? [];
    return norm === undefined
      ? [get(input[2]), get(input[1])]
      : [get(bias), get(scale), get(mean), get(variance), get(input[1])];
  });
}
