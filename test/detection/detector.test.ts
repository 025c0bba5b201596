// Detectors end to end in the runtime: our own heads and the layouts of others give the boxes that the raw numbers mean.
import { describe, expect, it } from 'vitest';
import { newModel } from '../../models/index.js';
import { yolov4Heads } from '../../models/yolov4/heads.js';
import { Candidates } from '../../src/detection/candidates.js';
import { decodeHead, planarLayout } from '../../src/detection/decode.js';
import { Detector } from '../../src/detection/detector.js';
import { type Detection, suppress } from '../../src/detection/nms.js';
import { valueInfo } from '../../src/onnx/build/tensors.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';
import { Session } from '../../src/runtime/session.js';
import { fillNormal } from '../models/support.js';
import { saved } from '../onnx/helpers.js';
import { exported, pytorchExport, zooExport } from './exports.js';

const options = { scoreThreshold: 0.2, iouThreshold: 0.5, maxDetections: 20 };

function noise(count: number, size: number): Float32Array {
  const values = new Float32Array(count * 3 * size * size);
  fillNormal(values, { seed: 8, stream: 0, std: 0.5 });
  return values.map((value) => Math.min(1, Math.abs(value)));
}

/** What the convolutions before the decoding in the graph give, decoded here: heads [3 * 7, cells, cells]. */
async function byHand(model: ModelProto, feed: Float32Array, dims: number[]): Promise<Detection[]> {
  const { graph } = model;
  if (graph === undefined) throw new Error('Expected a graph');
  const outputs = graph.node
    .filter(({ opType }) => opType === 'Conv')
    .slice(-3)
    .map(({ output }) => output[0] ?? '');
  graph.output = outputs.map((name, index) => {
    const cells = exported.size / (yolov4Heads[index]?.stride ?? 1);
    return valueInfo(name, 'float32', [1, 21, cells, cells]);
  });
  const session = await Session.open(model);
  const results = await session.run({ [graph.input[0]?.name ?? '']: session.tensor(feed, dims) });
  const into = new Candidates();
  for (const [index, head] of yolov4Heads.entries()) {
    const cells = exported.size / head.stride;
    const values = results[outputs[index] ?? '']?.data as Float32Array;
    decodeHead(values, head, planarLayout(cells, cells, exported.classes), { threshold: options.scoreThreshold, into });
  }
  await session.close();
  return suppress(into, options);
}

function expectSame(actual: readonly Detection[] | undefined, expected: readonly Detection[]) {
  expect(actual?.map(({ category }) => category)).toEqual(expected.map(({ category }) => category));
  for (const [index, { score, box }] of expected.entries()) {
    expect(actual?.[index]?.score).toBeCloseTo(score, 4);
    for (const [side, value] of box.entries()) expect(actual?.[index]?.box[side]).toBeCloseTo(value, 2);
  }
}

describe('our own models', () => {
  it('give the same from a file and from memory, one picture or several at a time', async () => {
    const model = newModel('yolov4', { tiny: true, size: 64, classes: 3 }, fillNormal);
    model.metadataProps.push({ $typeName: 'onnx.StringStringEntryProto', key: 'names', value: '["cat","dog","cow"]' });
    const [one, other] = [await Detector.open(model), await Detector.open(saved(model), { threads: 1 })];
    expect([one.size, one.classes, one.names]).toEqual([64, 3, ['cat', 'dog', 'cow']]);
    const inputs = noise(2, 64);
    const both = await one.detect(inputs, 2, options);
    expect(both.map(({ length }) => length)).toEqual([expect.any(Number), expect.any(Number)]);
    expect(both.every(({ length }) => length > 0)).toBe(true);
    for (const index of [0, 1]) {
      const [single] = await other.detect(inputs.subarray(index * 12_288, (index + 1) * 12_288), 1, options);
      expectSame(single, both[index] ?? []);
      const scores = single?.map(({ score }) => score) ?? [];
      expect(scores).toEqual(scores.toSorted((a, b) => b - a));
      expect(scores.every((score) => score >= 0.2)).toBe(true);
    }
    await one.close();
    await other.close();
  });

  it('fill a batch up where the model has a fixed one', async () => {
    const model = newModel('yolov4', { tiny: true, size: 32, classes: 1 }, fillNormal);
    const open = await Detector.open(model);
    const expected = await open.detect(noise(3, 32), 3, options);
    for (const { type } of [...(model.graph?.input ?? []), ...(model.graph?.output ?? [])]) {
      const dim = type?.value.case === 'tensorType' ? type.value.value.shape?.dim[0] : undefined;
      if (dim) dim.value = { case: 'dimValue', value: 2n };
    }
    const fixed = await Detector.open(model);
    const actual = await fixed.detect(noise(3, 32), 3, options);
    expect(actual).toHaveLength(3);
    for (const [index, detections] of expected.entries()) expectSame(actual[index], detections);
    await open.close();
    await fixed.close();
  });
});

describe('models of others', () => {
  const pixels = noise(1, exported.size);

  it.each([[false], [true]])('pytorch-YOLOv4, folded %s', async (folded) => {
    const detector = await Detector.open(pytorchExport({ folded }));
    expect([detector.size, detector.classes, detector.names]).toEqual([64, 2, undefined]);
    const [detections] = await detector.detect(pixels, 1, options);
    await detector.close();
    const expected = await byHand(pytorchExport({ folded }), pixels, [1, 3, 64, 64]);
    expect(expected.length).toBeGreaterThan(3);
    expectSame(detections, expected);
  });

  it("the model zoo's, with pixels and heads in TensorFlow's order", async () => {
    const detector = await Detector.open(zooExport());
    const [detections] = await detector.detect(pixels, 1, options);
    await detector.close();
    const interleaved = pixels.map((_, index) => pixels[(index % 3) * 4096 + Math.floor(index / 3)] ?? 0);
    const expected = await byHand(zooExport(), interleaved, [1, 64, 64, 3]);
    expect(expected.length).toBeGreaterThan(3);
    expectSame(detections, expected);
  });
});

describe('refuses', () => {
  it('models that are no detectors', async () => {
    await expect(Detector.open(newModel('lenet5', {}, fillNormal))).rejects.toThrow(/\[N, 3, size, size\].*got input/);
    const wrong = zooExport();
    wrong.graph?.output.pop();
    await expect(Detector.open(wrong)).rejects.toThrow('Expected heads [N, rows, columns, 3, 5 + classes]');
  });

  it('wrong inputs and options', async () => {
    const detector = await Detector.open(newModel('yolov4', { tiny: true, size: 32, classes: 1 }, fillNormal));
    const pixels = noise(1, 32);
    await expect(detector.detect(pixels, 2)).rejects.toThrow(
      'Expected inputs to be 2 pictures of 3072 numbers, got 3072',
    );
    await expect(detector.detect(pixels, 0)).rejects.toThrow('count');
    await expect(detector.detect(pixels, 1, { scoreThreshold: 1 })).rejects.toThrow('scoreThreshold');
    await expect(detector.detect(pixels, 1, { iouThreshold: 2 })).rejects.toThrow('iouThreshold');
    await expect(detector.detect(pixels, 1, { maxDetections: 0 })).rejects.toThrow('maxDetections');
    await expect(detector.detect(pixels, 1, { score: 1 } as object)).rejects.toThrow('Unknown option "score"');
    await detector.close();
  });
});
