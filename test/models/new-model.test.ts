// What holds for all architectures: seeds, initial values, names, and errors on wrong options.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { type ModelName, modelNames, type NewModelOptions, newModel } from '../../models/index.js';
import { LayerBuilder } from '../../models/layers.js';
import { WeightSource } from '../../models/weights.js';
import { SecateurError } from '../../src/errors.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { writeModel } from '../../src/onnx/write.js';
import { fillNormal, float32, initializers, numbers, rms } from './support.js';

/** Small versions, quick to make. */
const small: Record<ModelName, NewModelOptions> = {
  lenet5: {},
  resnet56: { depth: 20 },
  yolov4: { tiny: true, size: 32 },
};

function bytes(name: ModelName, seed: number): Buffer {
  return Buffer.from(toBinary(ModelProtoSchema, newModel(name, { ...small[name], seed }, fillNormal)));
}

describe.each(modelNames)('%s', (name) => {
  const model = newModel(name, { ...small[name], seed: 7 }, fillNormal);

  it('is decided by its seed to the last byte', () => {
    expect(bytes(name, 7).equals(bytes(name, 7))).toBe(true);
    expect(bytes(name, 7).equals(bytes(name, 8))).toBe(false);
  });

  it('gives each layer weights of its own, changed by the seed', () => {
    const other = new Map(
      initializers(newModel(name, { ...small[name], seed: 8 }, fillNormal)).map((tensor) => [tensor.name, tensor]),
    );
    const firsts = new Set<number>();
    const weights = initializers(model).filter((tensor) => tensor.name.endsWith('.weight'));
    for (const tensor of weights) {
      const twin = other.get(tensor.name);
      expect(twin && Buffer.from(twin.rawData).equals(Buffer.from(tensor.rawData)), tensor.name).toBe(false);
      firsts.add((numbers(tensor)[0] ?? 0) / rms(numbers(tensor)));
    }
    expect(firsts.size).toBe(weights.length);
  });

  it('begins with biases 0, running means 0, running variances 1 and scales in (0, 1]', () => {
    for (const tensor of initializers(model)) {
      const values = numbers(tensor);
      const kind = tensor.name.slice(tensor.name.lastIndexOf('.') + 1);
      if (kind === 'bias' || kind === 'mean') expect(values.every((value) => value === 0)).toBe(true);
      if (kind === 'variance') expect(values.every((value) => value === 1)).toBe(true);
      if (kind === 'scale') expect(values.every((value) => value > 0 && value <= 1)).toBe(true);
      expect(['weight', 'bias', 'scale', 'mean', 'variance']).toContain(kind);
    }
  });

  it('draws weights with the variance gain / fan-in, the gain between 1 and 2', () => {
    for (const tensor of initializers(model).filter((candidate) => candidate.name.endsWith('.weight'))) {
      const fanIn = tensor.dims.slice(1).reduce((product, dim) => product * Number(dim), 1);
      const gain = rms(numbers(tensor)) ** 2 * fanIn;
      expect(gain, tensor.name).toBeGreaterThan(0.8);
      expect(gain, tensor.name).toBeLessThan(2.4);
    }
  });

  it('uses every name once', () => {
    const nodes = model.graph?.node ?? [];
    const values = [...initializers(model).map((tensor) => tensor.name), ...nodes.flatMap((node) => node.output)];
    expect(new Set(values).size).toBe(values.length);
    expect(new Set(nodes.map((node) => node.name)).size).toBe(nodes.length);
  });
});

describe('files', () => {
  it('are written whole and load in the runtime', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'secateur-models-'));
    try {
      const path = join(folder, 'lenet5.onnx');
      const model = newModel('lenet5', {}, fillNormal);
      await writeModel(path, model);
      expect(readFileSync(path).equals(Buffer.from(toBinary(ModelProtoSchema, model)))).toBe(true);
      const session = await InferenceSession.create(path);
      expect([session.inputNames, session.outputNames]).toEqual([['input'], ['logits']]);
      await session.release();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('mish', () => {
  it('agrees with x tanh(ln(1 + exp(x))) over the whole range', async () => {
    const graph = GraphBuilder.create('mish');
    const layers = new LayerBuilder(graph, new WeightSource(0, fillNormal));
    const x = { value: graph.input('x', 'float32', ['n']), channels: 1 };
    const y = layers.activate(x, 'mish').value;
    graph.output(y, 'float32', ['n']);
    const session = await InferenceSession.create(toBinary(ModelProtoSchema, modelOf(graph.graph, { opset: 17 })));
    const inputs = Float32Array.from({ length: 4001 }, (_, index) => (index - 2000) / 20); // -100 to 100
    const outputs = await session.run({ x: new Tensor('float32', inputs, [inputs.length]) });
    for (const [index, actual] of float32(outputs[y]?.data).entries()) {
      const input = inputs[index] ?? 0;
      const expected = input * Math.tanh(Math.log1p(Math.exp(input)));
      expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-6 * Math.abs(expected) + 1e-37);
    }
  });
});

describe('options', () => {
  const failure = (name: string, options: object): unknown => {
    try {
      newModel(name as ModelName, options, fillNormal);
    } catch (error) {
      return error;
    }
    return undefined;
  };

  it.each([
    ['lenet', {}, 'did you mean "lenet5"?'],
    ['YOLOv4', {}, 'did you mean "yolov4"?'],
    ['mobilenet', {}, 'one of lenet5, resnet56, yolov4, got "mobilenet"'],
    ['yolov4', { clases: 3 }, 'did you mean "classes"?'],
    ['lenet5', { tiny: true }, 'Expected option of lenet5 to be one of seed, classes, got "tiny"'],
    ['yolov4', { size: 100 }, 'Expected size to be a multiple of 32 from 32 to 8192, got 100'],
    ['yolov4', { size: 0 }, 'Expected size'],
    ['yolov4', { classes: 0 }, 'Expected classes to be an integer from 1 to 65536, got 0'],
    ['lenet5', { classes: 2.5 }, 'Expected classes'],
    ['lenet5', { seed: -1 }, 'Expected seed to be a non-negative safe integer, got -1'],
    ['lenet5', { seed: Number.NaN }, 'Expected seed'],
    ['resnet56', { depth: 54 }, 'Expected depth to be 6n + 2 from 8 to 1202, such as 20, 32, 44, 56 or 110, got 54'],
    ['yolov4', { tiny: 1 }, 'Expected tiny to be true or false, got 1'],
  ])('%s %o: %s', (name, options, message) => {
    const error = failure(name, options);
    expect(error).toBeInstanceOf(SecateurError);
    expect(error).toMatchObject({ code: 'INVALID_OPTION', message: expect.stringContaining(message) });
  });

  it('takes undefined for an option that is not given', () => {
    expect(failure('lenet5', { seed: undefined, size: undefined, tiny: undefined })).toBeUndefined();
  });
});
