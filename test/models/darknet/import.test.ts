// Darknet's files into ONNX: whole networks against the builder's, every number at its place, folding, and layers by hand.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { afterAll, describe, expect, it } from 'vitest';
import { type ImportDarknetOptions, importDarknet } from '../../../models/darknet/index.js';
import { newModel } from '../../../models/index.js';
import type { FillNormal } from '../../../models/weights.js';
import { GraphProtoSchema, type ModelProto } from '../../../src/onnx/schema/onnx_pb.js';
import { countNumbers, fillNormal, float32, initializers, nodesOf, numbers, runOnNoise } from '../support.js';
import { conv, darknetOrder, net, predict, route, section, writeWeights, yolov4Cfg, yolov4TinyCfg } from './files.js';

const folder = mkdtempSync(join(tmpdir(), 'secateur-darknet-'));
afterAll(() => rmSync(folder, { recursive: true }));
const [cfg, weights] = [join(folder, 'net.cfg'), join(folder, 'net.weights')];

function metadataOf(model: ModelProto) {
  return Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));
}

/** Cheap numbers that differ between layers and between neighbours: 64 M normal deviates would take seconds here. */
const ramp: FillNormal = (target, { stream, std }) => {
  for (let index = 0; index < target.length; index++) target[index] = (((index * 7 + stream) % 13) - 6) * std * 0.25;
};

/** The builder's network, with statistics and biases that are no identity. */
function trained(options: { tiny: boolean; size: number; classes: number }, fill = fillNormal): ModelProto {
  const model = newModel('yolov4', options, fill);
  for (const [stream, tensor] of initializers(model).entries()) {
    const values = numbers(tensor);
    if (tensor.name.endsWith('.weight')) continue;
    const [std, offset] = tensor.name.endsWith('.scale') || tensor.name.endsWith('.variance') ? [0.1, 1] : [0.1, 0];
    fillNormal(values, { seed: 3, stream, std });
    for (const [index, value] of values.entries()) values[index] = Math.abs(value + offset);
  }
  return model;
}

function imported(text: string, parameters: readonly Float32Array[], options: ImportDarknetOptions = {}) {
  writeFileSync(cfg, text);
  writeWeights(weights, parameters);
  return importDarknet(cfg, weights, options);
}

/** Everything but the weights as bytes; the weights are compared in place, since there may be 258 MB of them. */
function expectSameGraph({ graph }: ModelProto, { graph: expected }: ModelProto) {
  if (graph === undefined || expected === undefined) throw new Error('Expected graphs');
  expect(graph.initializer.map(({ name, dims }) => [name, ...dims])).toEqual(
    expected.initializer.map(({ name, dims }) => [name, ...dims]),
  );
  const different = graph.initializer.filter(
    ({ rawData }, index) => Buffer.compare(rawData, expected.initializer[index]?.rawData ?? Buffer.alloc(0)) !== 0,
  );
  expect(different.map(({ name }) => name)).toEqual([]);
  const rest = [graph, expected].map((whole) => toBinary(GraphProtoSchema, { ...whole, initializer: [] }));
  expect(Buffer.compare(rest[0] ?? Buffer.alloc(0), rest[1] ?? Buffer.alloc(0))).toBe(0);
}

async function largestDifference(a: ModelProto, b: ModelProto, dims: number[]): Promise<number> {
  const [left, right] = [await runOnNoise(a, dims), await runOnNoise(b, dims)];
  expect(Object.keys(left)).toEqual(Object.keys(right));
  const differences = Object.entries(left).flatMap(([name, { data }]) => {
    const [x, y] = [float32(data), float32(right[name]?.data)];
    const largest = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return [...x].map((value, index) => Math.abs(value - (y[index] ?? Number.NaN)) / largest);
  });
  return differences.reduce((most, value) => (value <= most ? most : value), 0);
}

describe('yolov4-tiny', () => {
  const built = trained({ tiny: true, size: 64, classes: 3 });
  const parameters = darknetOrder(built);

  it('is the graph of `new yolov4 --tiny`, names and numbers to the last byte', () => {
    const { model, convolutions, seen } = imported(yolov4TinyCfg(64, 3), parameters);
    expectSameGraph(model, built);
    expect({ convolutions, seen }).toEqual({ convolutions: 21, seen: 7 });
    const { seed: _, ...metadata } = metadataOf(built);
    expect(metadataOf(model)).toEqual(metadata);
  });

  it('gives the same outputs with BatchNormalization folded into the convolutions', async () => {
    const { model } = imported(yolov4TinyCfg(64, 3), parameters, { fold: true });
    expect(nodesOf(model, 'BatchNormalization')).toEqual([]);
    expect(countNumbers(model)).toBe(countNumbers(built) - 3 * countNumbers(built, (name) => name.endsWith('.mean')));
    expect(await largestDifference(model, built, [1, 3, 64, 64])).toBeLessThan(1e-5);
  });

  it('takes another size of the input', () => {
    const { model } = imported(yolov4TinyCfg(416, 3), parameters, { size: 64 });
    expectSameGraph(model, built);
  });

  it('reads files of versions before 0.2, whose header has 16 bytes', () => {
    writeFileSync(cfg, yolov4TinyCfg(64, 3));
    writeWeights(weights, parameters, { version: [0, 1, 0], seen: 9 });
    const { model, seen } = importDarknet(cfg, weights);
    expect(seen).toBe(9);
    expectSameGraph(model, built);
  });
});

describe('yolov4', () => {
  it('is the graph of `new yolov4`, names and numbers to the last byte', () => {
    const built = trained({ tiny: false, size: 96, classes: 1 }, ramp);
    const { model, convolutions } = imported(yolov4Cfg(96, 1), darknetOrder(built));
    expect(convolutions).toBe(110);
    expectSameGraph(model, built);
    expect(metadataOf(model)).toMatchObject({ architecture: 'yolov4', heads: metadataOf(built)['heads'] });
  });
});

describe('other networks', () => {
  const head = (values = {}) => section('yolo', { mask: '0', anchors: '8,9', classes: 1, num: 1, ...values });
  /** 6 channels from 3 by a 1x1 convolution: biases, then weights. */
  const last = [new Float32Array(6), new Float32Array(18).fill(0.5)];

  it('name layers by number, and outputs by stride', () => {
    const text = [net(32), predict(6), head(), route(-2), section('maxpool', { size: 2, stride: 2 }), head()].join(
      '\n',
    );
    const { model } = imported(text, last);
    expect(initializers(model).map(({ name }) => name)).toEqual(['layer0.weight', 'layer0.bias']);
    expect(model.graph?.output.map(({ name }) => name)).toEqual(['stride1', 'stride2']);
    expect(metadataOf(model)).toMatchObject({ architecture: 'darknet', classes: '1' });
    expect(JSON.parse(metadataOf(model)['heads'] ?? '')).toEqual([
      { output: 'stride1', stride: 1, anchors: [[8, 9]], scaleXY: 1 },
      { output: 'stride2', stride: 2, anchors: [[8, 9]], scaleXY: 1 },
    ]);
  });

  it('put the numbers of a convolution where they belong', () => {
    const first = [1, 2, 3, 4, 5].map((start, index) => new Float32Array(index === 4 ? 12 : 2).fill(start));
    const { model } = imported(
      [net(32), conv(2, 1, 'relu').replace('pad=1', 'groups=1'), predict(6), head()].join('\n'),
      [
        ...first.with(
          4,
          Float32Array.from({ length: 6 }, (_, index) => index),
        ),
        new Float32Array(6).fill(7),
        new Float32Array(12).fill(8),
      ],
    );
    expect(Object.fromEntries(initializers(model).map((tensor) => [tensor.name, [...numbers(tensor)]]))).toEqual({
      'layer0.weight': [0, 1, 2, 3, 4, 5],
      'layer0.norm.scale': [2, 2],
      'layer0.norm.bias': [1, 1],
      'layer0.norm.mean': [3, 3],
      'layer0.norm.variance': [4, 4],
      'layer1.weight': new Array(12).fill(8),
      'layer1.bias': new Array(6).fill(7),
    });
  });

  // Input 4 x 4 of 0..15 in each channel. Darknet pads below and to the right, with nothing, where the sum is odd.
  it.each([
    [{ size: 2, stride: 2 }, [5, 7, 13, 15]],
    [{ size: 2, stride: 1 }, [5, 6, 7, 7, 9, 10, 11, 11, 13, 14, 15, 15, 13, 14, 15, 15]],
    [{ size: 3, stride: 1 }, [5, 6, 7, 7, 9, 10, 11, 11, 13, 14, 15, 15, 13, 14, 15, 15]],
    [{ size: 3, stride: 2 }, [5, 7, 13, 15]],
    [{ size: 4, stride: 4, padding: 0 }, [15]],
    [{ size: 3, stride: 3, padding: 1 }, [10]],
    [{ stride: 2 }, [5, 7, 13, 15]],
  ])('pool like Darknet: %o', async (values, expected) => {
    const text = [net(4), section('maxpool', values), predict(6), head()].join('\n');
    const { model } = imported(text, [
      new Float32Array(6),
      Float32Array.from({ length: 18 }, (_, index) => +(index === 0)),
    ]);
    const { InferenceSession, Tensor } = await import('onnxruntime-node');
    const { ModelProtoSchema } = await import('../../../src/onnx/schema/onnx_pb.js');
    const session = await InferenceSession.create(toBinary(ModelProtoSchema, model));
    const input = new Tensor(
      'float32',
      Float32Array.from({ length: 48 }, (_, index) => index % 16),
      [1, 3, 4, 4],
    );
    const [output] = Object.values(await session.run({ input }));
    expect([...float32(output?.data)].slice(0, expected.length)).toEqual(expected);
    expect(output?.dims[2]).toBe(Math.sqrt(expected.length));
  });

  it('have shortcuts, groups of channels, grouped convolutions and all activations', async () => {
    const names = ['linear', 'relu', 'leaky', 'mish', 'logistic', 'swish'];
    const text = [
      net(2),
      ...names.map((activation) => section('convolutional', { filters: 3, size: 1, stride: 1, groups: 3, activation })),
      section('shortcut', { from: -2, activation: 'relu' }),
      section('route', { layers: '-1,-2', groups: 3, group_id: 1 }),
      section('upsample', { stride: 2 }),
      section('convolutional', { filters: 6, size: 1, activation: 'linear' }),
      head({ scale_x_y: 1.1 }),
    ].join('\n');
    const grouped = names.flatMap(() => [Float32Array.of(0.1, 0.2, 0.3), Float32Array.of(1, -2, 3)]);
    const final = [new Float32Array(6), Float32Array.from([1, 0, 0, 1, ...new Array(8).fill(0)])];
    // stride 0.5: an upsampled head is no head.
    expect(() => imported(text, [...grouped, ...final])).toThrow(
      'Expected the input (2 x 2) to be a multiple of the head',
    );
    const { model } = imported(text.replace('[upsample]\nstride=2', '[upsample]\nstride=1'), [...grouped, ...final]);
    const { stride1 } = await runOnNoise(model, [1, 3, 2, 2]);
    // Channel 1 by hand: x -> -2 x + 0.2 and the activation, six times; then relu(swish + logistic) and swish beside it.
    const noise = new Float32Array(12);
    fillNormal(noise, { seed: 99, stream: 0, std: 1 });
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    const functions: ((x: number) => number)[] = [
      (x) => x,
      (x) => Math.max(0, x),
      (x) => (x > 0 ? x : 0.1 * x),
      (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
      sigmoid,
      (x) => x * sigmoid(x),
    ];
    for (let pixel = 0; pixel < 4; pixel++) {
      let x = Math.min(1, Math.abs(noise[4 + pixel] ?? 0));
      let before = x;
      for (const activation of functions) [before, x] = [x, activation(-2 * x + 0.2)];
      expect(float32(stride1?.data)[pixel]).toBeCloseTo(Math.max(0, x + before), 5);
      expect(float32(stride1?.data)[4 + pixel]).toBeCloseTo(x, 5);
    }
  });

  it('keep the names of classes', () => {
    const text = [net(32), predict(6), head()].join('\n');
    const { model } = imported(text, last, { names: ['cat'] });
    expect(metadataOf(model)['names']).toBe('["cat"]');
    expect(() => imported(text, last, { names: ['cat', 'dog'] })).toThrow('Expected names to be 1 names');
  });
});
