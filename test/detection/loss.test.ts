// The loss against the same formulas in plain float64, and its gradients against central differences.
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import type { BoxLabel } from '../../src/data/detection/dataset.js';
import { gridsOf } from '../../src/detection/cells.js';
import { type DetectionLossOptions, detectionLoss } from '../../src/detection/loss.js';
import { TargetAssigner } from '../../src/detection/targets.js';
import { differences, type Feeds, noise } from '../autodiff/support.js';
import { label, lossModel, network, tensorsOf } from './support.js';

const labels = [
  [label(2, [9, 18, 8, 7]), label(0, [2, 1, 20, 28]), label(1, [0, 16, 16, 16], true)],
  [label(1, [20, 5, 9, 9])],
];
const assigner = new TargetAssigner(network);

function rawHeads(images: number): Feeds {
  return {
    'fine.raw': new Tensor('float32', noise(images * 16 * 16, 3), [images, 16, 4, 4]),
    'coarse.raw': new Tensor('float32', noise(images * 16 * 4, 4), [images, 16, 2, 2]),
  };
}

const softplus = (z: number) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
const corners = ([left, top, width, height]: BoxLabel['box']) => [left, top, left + width, top + height] as const;

function iou(a: BoxLabel['box'], b: BoxLabel['box']): number {
  const [p, q] = [corners(a), corners(b)];
  const common = [0, 1].map((axis) => Math.max(0, Math.min(p[axis + 2]!, q[axis + 2]!) - Math.max(p[axis]!, q[axis]!)));
  const both = common[0]! * common[1]!;
  return both / (a[2] * a[3] + b[2] * b[3] - both);
}

function ciou(a: BoxLabel['box'], b: BoxLabel['box']): number {
  const [p, q] = [corners(a), corners(b)];
  const hull = [0, 1].map((axis) => Math.max(p[axis + 2]!, q[axis + 2]!) - Math.min(p[axis]!, q[axis]!));
  const apart = [0, 1].map((axis) => (p[axis]! + p[axis + 2]! - q[axis]! - q[axis + 2]!) / 2);
  const overlap = iou(a, b);
  const v = (4 / Math.PI ** 2) * (Math.atan(b[2] / b[3]) - Math.atan(a[2] / a[3])) ** 2;
  const distance = (apart[0]! ** 2 + apart[1]! ** 2) / (hull[0]! ** 2 + hull[1]! ** 2);
  return overlap - distance - (v * v) / (1 - overlap + v);
}

interface Prediction {
  readonly raw: readonly number[];
  readonly box: BoxLabel['box'];
  /** Of the cell. */
  readonly middle: readonly number[];
}

/** All predictions of an image: raw numbers and the decoded box. */
function predictions(feeds: Feeds, image: number): Prediction[] {
  return network.heads.flatMap(({ output, stride, anchors, scaleXY }) => {
    const side = network.size / stride;
    const { data } = feeds[`${output}.raw`]!;
    return anchors.flatMap(([width, height], anchor) =>
      Array.from({ length: side * side }, (_, cell) => {
        const at = (channel: number) => Number(data[((image * 2 + anchor) * 8 + channel) * side * side + cell]);
        const raw = Array.from({ length: 8 }, (_, channel) => at(channel));
        const size = [width * Math.exp(raw[2]!), height * Math.exp(raw[3]!)] as const;
        const position = [cell % side, Math.floor(cell / side)];
        const centre = [0, 1].map(
          (axis) => (sigmoid(raw[axis]!) * scaleXY - (scaleXY - 1) / 2 + position[axis]!) * stride,
        );
        const box = [centre[0]! - size[0] / 2, centre[1]! - size[1] / 2, ...size] as const;
        return { raw, box, middle: position.map((p) => (p + 0.5) * stride) };
      }),
    );
  });
}

function expected(feeds: Feeds, { boxGain = 5, objectnessGain = 1, classGain = 1, ignoreThreshold = 0.7 }) {
  const targets = tensorsOf(assigner.assign(labels));
  const positives = new Map(
    [...(targets['targets/positives']!.data as BigInt64Array)].map((p, row) => [Number(p), row]),
  );
  const classes = targets['targets/classes']!.data as BigInt64Array;
  const boxes = targets['targets/boxes']!.data as Float32Array;
  const ofPositive = ({ raw, box }: Prediction, row: number) => {
    const truth = [...boxes.subarray(4 * row, 4 * row + 4)] as unknown as BoxLabel['box'];
    const entropies = raw.slice(5).map((z, c) => (Number(classes[row]) === c ? softplus(-z) : softplus(z)));
    const classLoss = entropies.reduce((sum, value) => sum + value, 0);
    return objectnessGain * softplus(-raw[4]!) + boxGain * (1 - ciou(box, truth)) + classGain * classLoss;
  };
  let [total, ignored] = [0, 0];
  for (const [image, list] of labels.entries()) {
    for (const [index, each] of predictions(feeds, image).entries()) {
      const row = positives.get(image * 40 + index);
      const onTruth = list.some((truth) => !truth.crowd && iou(truth.box, each.box) > ignoreThreshold);
      if (row !== undefined) total += ofPositive(each, row);
      else if (onTruth) ignored += 1;
      else if (!inCrowd(list, each.middle)) total += objectnessGain * softplus(each.raw[4]!);
    }
  }
  return { loss: total / labels.length, ignored };
}

function inCrowd(list: readonly BoxLabel[], [x = 0, y = 0]: readonly number[]): boolean {
  return list.some(
    ({ crowd, box: [left, top, width, height] }) =>
      crowd && x >= left && x < left + width && y >= top && y < top + height,
  );
}

async function run(options: DetectionLossOptions, opset = 17) {
  const feeds = { ...rawHeads(2), ...tensorsOf(assigner.assign(labels)) };
  const { loss, session } = await lossModel(options, feeds, opset);
  const result = await session.run(feeds);
  return { feeds, loss, session, result, value: Number(result[loss]!.data[0]) };
}

test.each([{}, { boxGain: 0.5, objectnessGain: 2, classGain: 0.25 }, { ignoreThreshold: 0.1 }])(
  'value with %j',
  async (options) => {
    const { feeds, value } = await run(options);
    const wanted = expected(feeds, options);
    expect(value).toBeCloseTo(wanted.loss, 3);
    if ('ignoreThreshold' in options) expect(wanted.ignored).toBeGreaterThan(3);
  },
);

test('operator set 18 gives the same', async () => {
  expect((await run({}, 18)).value).toBe((await run({})).value);
});

/** Gives each answering box the aspect of its truth: there the slope is the same with alpha as a constant and without. */
function alignAspects(feeds: Feeds): void {
  const boxes = feeds['targets/boxes']!.data as Float32Array;
  for (const [row, position] of (feeds['targets/positives']!.data as BigInt64Array).entries()) {
    const prediction = Number(position) % 40;
    const at = gridsOf(network).findLastIndex(({ start }) => start <= prediction);
    const { start, side, anchor } = gridsOf(network)[at]!;
    const cells = side * side;
    const data = feeds[`${network.heads[at >> 1]!.output}.raw`]!.data as Float32Array;
    const first = ((Math.floor(Number(position) / 40) * 2 + (at % 2)) * 8 + 2) * cells + prediction - start;
    const [width, height] = boxes.subarray(4 * row + 2, 4 * row + 4);
    data[first + cells] = data[first]! + Math.log((anchor[0] * height!) / (anchor[1] * width!));
  }
}

test('gradients, where boxes have the aspect of their truths', async () => {
  const feeds = { ...rawHeads(2), ...tensorsOf(assigner.assign(labels)) };
  alignAspects(feeds);
  const { loss, session } = await lossModel({}, feeds);
  const result = await session.run(feeds);
  for (const name of ['fine.raw', 'coarse.raw']) {
    const gradient = result[`${name}_grad`]!.data as Float32Array;
    const data = feeds[name]!.data as Float32Array;
    const slopes = await differences(data, async () => Number((await session.run(feeds))[loss]!.data[0]));
    for (const [index, slope] of slopes.entries()) expect(gradient[index]).toBeCloseTo(slope, 1.5);
    expect(Math.max(...slopes.map(Math.abs))).toBeGreaterThan(0.4);
  }
});

test('gradients of boxes reach the centre and the size of the answering predictions only', async () => {
  const { feeds, result } = await run({ objectnessGain: 0, classGain: 0 });
  const positives = new Set([...(feeds['targets/positives']!.data as BigInt64Array)].map(Number));
  for (const image of [0, 1]) {
    let prediction = 0;
    for (const { output, stride } of network.heads) {
      const cells = (network.size / stride) ** 2;
      const gradient = result[`${output}.raw_grad`]!.data as Float32Array;
      for (const anchor of [0, 1]) {
        for (let cell = 0; cell < cells; cell++) {
          const channels = [0, 1, 2, 3, 4, 5, 6, 7].map(
            (c) => gradient[((image * 2 + anchor) * 8 + c) * cells + cell]!,
          );
          const answers = positives.has(image * 40 + prediction++);
          expect(channels.map((value) => value !== 0)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((c) => answers && c < 4));
        }
      }
    }
  }
});

test('moving boxes down their gradient brings them onto the truth', async () => {
  const { feeds, session, result } = await run({ objectnessGain: 0, classGain: 0, boxGain: 1 });
  const answering = (feeds['targets/positives']!.data as BigInt64Array).length;
  let current = result;
  for (let step = 0; step < 1000; step++) {
    for (const name of ['fine.raw', 'coarse.raw']) {
      const data = feeds[name]!.data as Float32Array;
      const gradient = current[`${name}_grad`]!.data as Float32Array;
      for (const index of data.keys()) data[index]! -= (1 - step / 1000) * gradient[index]!;
    }
    current = await session.run(feeds);
  }
  const [loss] = Object.keys(current);
  expect((Number(current[loss!]!.data[0]) * 2) / answering).toBeLessThan(0.02);
});

test('huge logits and no boxes: finite, and no gradient for boxes', async () => {
  const feeds = { ...rawHeads(2), ...tensorsOf(assigner.assign([[], []])) };
  for (const name of ['fine.raw', 'coarse.raw']) (feeds[name]!.data as Float32Array).fill(500);
  const { loss, session } = await lossModel({}, feeds);
  const result = await session.run(feeds);
  expect(Number(result[loss]!.data[0])).toBeCloseTo(40 * 500, 0);
  for (const name of ['fine.raw_grad', 'coarse.raw_grad']) {
    expect([...(result[name]!.data as Float32Array)].every(Number.isFinite)).toBe(true);
  }
});

test('another batch than the one it was made with', async () => {
  const { session, loss } = await run({});
  const feeds = { ...rawHeads(1), ...tensorsOf(assigner.assign([[label(0, [1, 1, 5, 5]), label(1, [9, 9, 20, 20])]])) };
  const one = Number((await session.run(feeds))[loss]!.data[0]);
  const { loss: own, session: fresh } = await lossModel({}, { ...rawHeads(2), ...tensorsOf(assigner.assign(labels)) });
  expect(one).toBe(Number((await fresh.run(feeds))[own]!.data[0]));
  expect(one).toBeGreaterThan(0);
});

test('refuses what is out of range', () => {
  expect(() => detectionLoss(network, 17, { boxGain: -1 })).toThrow(/Expected boxGain/);
  expect(() => detectionLoss(network, 17, { ignoreThreshold: 2 })).toThrow(/Expected ignoreThreshold/);
  expect(() => detectionLoss(network, 17, { boxGian: 1 } as never)).toThrow(/Did you mean|did you mean/);
});
