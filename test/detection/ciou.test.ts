// Complete IoU against values worked by hand and against plain arithmetic; gradients against central differences.
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { addGradients } from '../../src/autodiff/gradient.js';
import { completeIou } from '../../src/detection/ciou.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { open, probe } from '../autodiff/support.js';

type Row = readonly [x: number, y: number, width: number, height: number];

function build(rows: number) {
  const g = GraphBuilder.create('ciou');
  const [centre, size, truthCentre, truthSize] = ['centre', 'size', 'truth centre', 'truth size'].map((name) =>
    g.input(name, 'float32', [rows, 2]),
  ) as [string, string, string, string];
  const { value, alpha } = completeIou(g, { centre, size }, { centre: truthCentre, size: truthSize });
  g.output(value, 'float32', [rows, 1]);
  const total = g.op('ReduceSum', [value], { keepdims: 0 });
  g.output(total, 'float32', []);
  return { model: modelOf(g.graph, { opset: 17 }), value, alpha, total };
}

function feedsOf(boxes: readonly Row[], truths: readonly Row[]) {
  const part = (rows: readonly Row[], from: 0 | 2) =>
    new Tensor(
      'float32',
      rows.flatMap((row) => row.slice(from, from + 2)),
      [rows.length, 2],
    );
  return {
    centre: part(boxes, 0),
    size: part(boxes, 2),
    'truth centre': part(truths, 0),
    'truth size': part(truths, 2),
  };
}

async function values(boxes: readonly Row[], truths: readonly Row[]): Promise<number[]> {
  const { model, value } = build(boxes.length);
  const run = await (await open(model)).run(feedsOf(boxes, truths));
  return [...(run[value]!.data as Float32Array)];
}

test('values by hand', async () => {
  // Equal; side by side; one inside the other, centred and alike; crossed, where only the shapes differ.
  const boxes: Row[] = [
    [10, 10, 4, 6],
    [1, 1, 2, 2],
    [8, 8, 4, 2],
    [5, 5, 2, 4],
  ];
  const truths: Row[] = [
    [10, 10, 4, 6],
    [4, 1, 2, 2],
    [8, 8, 8, 4],
    [5, 5, 4, 2],
  ];
  const [equal, apart, inside, crossed] = await values(boxes, truths);
  expect(equal).toBeCloseTo(1, 5);
  // IoU 0; centres 3 apart in a hull of 5 x 2
  expect(apart).toBeCloseTo(-9 / 29, 5);
  // IoU 8 / 32
  expect(inside).toBeCloseTo(0.25, 5);
  // IoU 4 / 12; v = 4 / pi^2 (atan 2 - atan 1/2)^2 = 0.16781, alpha = v / (2/3 + v) = 0.20109
  expect(crossed).toBeCloseTo(1 / 3 - 0.16781 * 0.20109, 4);
});

test('stays finite for the smallest and largest boxes that can be decoded', async () => {
  const boxes: Row[] = [
    [0, 0, 1e-3, 1e-3],
    [0, 0, 1.4e6, 1.4e6],
    [300, -5, 1e-3, 1.4e6],
  ];
  for (const value of await values(boxes, [boxes[1]!, boxes[0]!, [3, 3, 5, 5]])) {
    expect(value).toBeGreaterThan(-2);
    expect(value).toBeLessThan(1);
  }
});

test('gradients, with alpha as a constant', async () => {
  const boxes: Row[] = [
    [5, 5, 4, 6],
    [9.3, 6, 3, 3.5],
    [20, 20, 5, 9],
  ];
  const truths: Row[] = [
    [6, 5.5, 5, 4],
    [9, 6.2, 8, 7],
    [4, 7, 6, 6],
  ];
  const feeds = feedsOf(boxes, truths);
  const { model, alpha, total } = build(3);
  const shapes = await probe(model, feeds);
  const options = { loss: total, wrt: ['centre', 'size'], shapes, constants: [alpha] };
  const names = addGradients(model, options);
  model.graph!.output = [...names.values(), alpha].map((name) => ({ ...model.graph!.output[0]!, name }));
  const run = await (await open(model)).run(feeds);
  const alphas = [...(run[alpha]!.data as Float32Array)];
  for (const [at, parts] of (['centre', 'size'] as const).map((name, at) => [at, run[names.get(name)!]!] as const)) {
    for (const [index, gradient] of (parts.data as Float32Array).entries()) {
      const row = Math.floor(index / 2);
      const slope = (moved: number) => {
        const box = [...boxes[row]!] as [number, number, number, number];
        box[2 * at + (index % 2)]! += moved;
        return plain(box, truths[row]!, alphas[row]!);
      };
      expect(gradient).toBeCloseTo((slope(1e-5) - slope(-1e-5)) / 2e-5, 4);
    }
  }
});

/** In float64, with alpha given. */
function plain(a: Row, b: Row, alpha: number): number {
  const low = (row: Row, axis: number) => row[axis]! - row[axis + 2]! / 2;
  const high = (row: Row, axis: number) => row[axis]! + row[axis + 2]! / 2;
  const common = [0, 1].map((axis) =>
    Math.max(0, Math.min(high(a, axis), high(b, axis)) - Math.max(low(a, axis), low(b, axis))),
  );
  const hull = [0, 1].map((axis) => Math.max(high(a, axis), high(b, axis)) - Math.min(low(a, axis), low(b, axis)));
  const intersection = common[0]! * common[1]!;
  const iou = intersection / (a[2] * a[3] + b[2] * b[3] - intersection);
  const distance = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / (hull[0]! ** 2 + hull[1]! ** 2);
  const v = (4 / Math.PI ** 2) * (Math.atan(b[2] / b[3]) - Math.atan(a[2] / a[3])) ** 2;
  return iou - distance - alpha * v;
}
