// YOLOv4 and YOLOv4-tiny: layers and parameters against Darknet's published files, and a run in the stock runtime.
import { describe, expect, it } from 'vitest';
import { newModel } from '../../models/index.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';
import { countNumbers, countTrainable, fillNormal, float32, nodesOf, rms, runOnNoise } from './support.js';

/** [filters, kernel] of the convolutions in the order of the nodes. */
function convolutions(model: ModelProto): [number, number][] {
  const shapes = new Map(model.graph?.initializer.map(({ name, dims }) => [name, dims.map(Number)]));
  return nodesOf(model, 'Conv').map(({ input }) => {
    const [filters = 0, , kernel = 0] = shapes.get(input[1] ?? '') ?? [];
    return [filters, kernel];
  });
}

async function expectHeads(model: ModelProto, size: number, batch: number, heads: Record<string, number[]>) {
  const outputs = await runOnNoise(model, [batch, 3, size, size]);
  expect(Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, [...value.dims]]))).toEqual(heads);
  for (const value of Object.values(outputs)) {
    expect(rms(float32(value.data))).toBeGreaterThan(0.01);
    expect(rms(float32(value.data))).toBeLessThan(20);
  }
}

describe('yolov4', () => {
  const model = newModel('yolov4', { size: 64 }, fillNormal);

  it('has 110 convolutions and the 64,363,101 parameters that implementations report', () => {
    expect(nodesOf(model, 'Conv')).toHaveLength(110);
    expect(countTrainable(model)).toBe(64_363_101);
  });

  it('has as many numbers as the published yolov4.weights: 257,717,640 bytes after a header of 20', () => {
    expect(countNumbers(model)).toBe((257_717_640 - 20) / 4);
  });

  it('makes the convolutions of the neck in the order of yolov4.cfg', () => {
    const alternate = (filters: number, count: number) =>
      Array.from({ length: count }, (_, index) => (index % 2 === 0 ? [filters, 1] : [2 * filters, 3]));
    expect(convolutions(model).slice(72)).toEqual([
      ...alternate(512, 3), // before the pyramid
      ...alternate(512, 3), // after it
      ...[[256, 1], [256, 1], ...alternate(256, 5)], // up to stride 16
      ...[[128, 1], [128, 1], ...alternate(128, 5)], // up to stride 8
      ...[
        [256, 3],
        [255, 1],
      ], // head at stride 8
      ...[[256, 3], ...alternate(256, 5)], // down to stride 16
      ...[
        [512, 3],
        [255, 1],
      ], // head at stride 16
      ...[[512, 3], ...alternate(512, 5)], // down to stride 32
      ...[
        [1024, 3],
        [255, 1],
      ], // head at stride 32
    ]);
  });

  it('makes the convolutions of the backbone in the order of yolov4.cfg', () => {
    const stage = (filters: number, branch: number, bottleneck: number, blocks: number) => [
      [filters, 3],
      [branch, 1],
      [branch, 1],
      ...Array.from({ length: blocks }, () => [
        [bottleneck, 1],
        [branch, 3],
      ]).flat(),
      [branch, 1],
      [filters, 1],
    ];
    expect(convolutions(model).slice(0, 72)).toEqual([
      [32, 3],
      ...stage(64, 64, 32, 1),
      ...stage(128, 64, 64, 2),
      ...stage(256, 128, 128, 8),
      ...stage(512, 256, 256, 8),
      ...stage(1024, 512, 512, 4),
    ]);
  });

  it('gives three finite heads of ordinary size before any training', async () => {
    await expectHeads(model, 64, 1, { stride8: [1, 255, 8, 8], stride16: [1, 255, 4, 4], stride32: [1, 255, 2, 2] });
  });

  it('says in its metadata what the heads mean', () => {
    const metadata = Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));
    expect(metadata['architecture']).toBe('yolov4');
    expect(metadata['classes']).toBe('80');
    expect(JSON.parse(metadata['heads'] ?? '')).toMatchObject([
      {
        output: 'stride8',
        stride: 8,
        anchors: [
          [12, 16],
          [19, 36],
          [40, 28],
        ],
        scaleXY: 1.2,
      },
      {
        output: 'stride16',
        stride: 16,
        anchors: [
          [36, 75],
          [76, 55],
          [72, 146],
        ],
        scaleXY: 1.1,
      },
      {
        output: 'stride32',
        stride: 32,
        anchors: [
          [142, 110],
          [192, 243],
          [459, 401],
        ],
        scaleXY: 1.05,
      },
    ]);
  });
});

describe('yolov4-tiny', () => {
  const model = newModel('yolov4', { tiny: true, size: 96 }, fillNormal);

  it('has 21 convolutions and the 6,056,606 parameters that implementations report', () => {
    expect(nodesOf(model, 'Conv')).toHaveLength(21);
    expect(countTrainable(model)).toBe(6_056_606);
  });

  it('has as many numbers as the published yolov4-tiny.weights: 24,251,276 bytes after a header of 20', () => {
    expect(countNumbers(model)).toBe((24_251_276 - 20) / 4);
  });

  it('makes the convolutions in the order of yolov4-tiny.cfg', () => {
    const stage = (filters: number) => [
      [filters, 3],
      [filters / 2, 3],
      [filters / 2, 3],
      [filters, 1],
    ];
    expect(convolutions(model)).toEqual([
      ...[[32, 3], [64, 3], ...stage(64), ...stage(128), ...stage(256), [512, 3]],
      ...[
        [256, 1],
        [512, 3],
        [255, 1],
      ], // head at stride 32
      ...[
        [128, 1],
        [256, 3],
        [255, 1],
      ], // head at stride 16
    ]);
  });

  it('gives two finite heads of ordinary size before any training', async () => {
    await expectHeads(model, 96, 2, { stride16: [2, 255, 6, 6], stride32: [2, 255, 3, 3] });
  });

  it('takes another number of classes', async () => {
    const few = newModel('yolov4', { tiny: true, size: 32, classes: 3 }, fillNormal);
    await expectHeads(few, 32, 1, { stride16: [1, 24, 2, 2], stride32: [1, 24, 1, 1] });
  });
});
