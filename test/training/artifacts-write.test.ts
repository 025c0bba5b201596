// Artifacts that we write, trained by the official runtime: it must load them, and come to the losses and parameters that
// the stock runtime comes to.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearField } from '@bufbuild/protobuf';
import { afterAll, describe, expect, test } from 'vitest';
import { newModel } from '../../models/index.js';
import type { Feeds } from '../../src/data/feeds.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { valueInfo } from '../../src/onnx/build/tensors.js';
import { readModel } from '../../src/onnx/load.js';
import { type ModelProto, TensorProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import type { ArtifactOptimizer } from '../../src/training/artifacts/optimizer-model.js';
import { artifactPaths } from '../../src/training/artifacts/paths.js';
import { openArtifacts } from '../../src/training/artifacts/trainer.js';
import { type WriteArtifactsOptions, writeArtifacts } from '../../src/training/artifacts/write.js';
import { readCheckpoint } from '../../src/training/checkpoint/files.js';
import { evaluate } from '../../src/training/evaluate.js';
import { Trainer } from '../../src/training/trainer.js';
import { noise } from '../autodiff/support.js';
import { fillNormal } from '../models/support.js';
import { type OfficialTraining, officialRuntime, trainOfficially } from './official.js';

const scratch = mkdtempSync(join(tmpdir(), 'secateur-test-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Two layers with a sigmoid between, for vectors of 12. */
function mlp(outputs: number): ModelProto {
  const g = GraphBuilder.create('mlp');
  const weight = (name: string, dims: number[], seed: number) => {
    const count = dims.reduce((product, size) => product * size, 1);
    return g.initializer(
      name,
      dims,
      noise(count, seed).map((value) => value / 4),
    );
  };
  const x = g.input('x', 'float32', ['N', 12]);
  const hidden = g.op('Gemm', [x, weight('fc1.weight', [16, 12], 1), weight('fc1.bias', [16], 2)], { transB: 1 });
  const active = g.op('Sigmoid', [hidden]);
  const second = [weight('fc2.weight', [outputs, 16], 3), weight('fc2.bias', [outputs], 4)];
  g.output(g.op('Gemm', [active, ...second], { transB: 1 }, { name: 'y' }), 'float32', ['N', outputs]);
  return modelOf(g.graph, { opset: 17 });
}

const images =
  (dims: number[], classes: number) =>
  (seed: number): Feeds => {
    const count = dims.reduce((product, size) => product * size, 1);
    const labels = Array.from({ length: dims[0]! }, (_, index) => (index * 3 + seed) % classes);
    return {
      input: { data: noise(count, seed + 5).map(Math.abs), dims },
      labels: { data: BigInt64Array.from(labels, BigInt), dims: [dims[0]!] },
    };
  };

const vectors =
  (outputs: number) =>
  (seed: number): Feeds => ({
    x: { data: noise(6 * 12, seed + 5), dims: [6, 12] },
    target: { data: noise(6 * outputs, seed + 25).map((value) => (value + 2) / 4), dims: [6, outputs] },
  });

interface Case {
  readonly model: () => ModelProto;
  readonly feeds: (seed: number) => Feeds;
  readonly options?: WriteArtifactsOptions;
  /** Parameters that no gradient changes. */
  readonly frozen?: readonly string[];
}

const sgd: ArtifactOptimizer = { type: 'sgd' };
const settled: ArtifactOptimizer = { type: 'adamw', form: 'torch', weightDecay: 0.02, beta1: 0.8, epsilon: 1e-5 };

const cases: Readonly<Record<string, Case>> = {
  'an MLP, mean square error': { model: () => mlp(3), feeds: vectors(3), options: { loss: 'mse' } },
  'an MLP, mean magnitude': { model: () => mlp(3), feeds: vectors(3), options: { loss: 'l1' } },
  'an MLP, bits, settings of its own': {
    model: () => mlp(4),
    feeds: vectors(4),
    options: { loss: 'bceWithLogits', optimizer: settled },
  },
  'an MLP, SGD, one layer frozen': {
    model: () => mlp(3),
    feeds: vectors(3),
    options: { loss: 'mse', optimizer: sgd, trainable: ['fc2.*'] },
    frozen: ['fc1.weight', 'fc1.bias'],
  },
  'an MLP, gradients clipped': {
    model: () => mlp(3),
    feeds: vectors(3),
    options: { loss: 'mse', optimizer: { type: 'sgd', maxGradientNorm: 0.05 } },
  },
  'LeNet-5': { model: () => newModel('lenet5', { seed: 3 }, fillNormal), feeds: images([4, 1, 28, 28], 10) },
  'ResNet-8 with BatchNormalization': {
    model: () => newModel('resnet56', { depth: 8, classes: 4, seed: 3 }, fillNormal),
    feeds: images([4, 3, 32, 32], 4),
    frozen: ['conv', ...[1, 2, 3].flatMap((stage) => [1, 2].map((conv) => `stage${stage}.block1.conv${conv}`))].flatMap(
      (layer) => ['mean', 'variance'].map((statistic) => `${layer}.norm.${statistic}`),
    ),
  },
};

async function officialSession(folder: string): Promise<OfficialTraining> {
  const paths = artifactPaths(folder);
  return await trainOfficially({
    checkpoint: await readCheckpoint(paths.checkpoint),
    training: readFileSync(paths.training),
    evaluation: readFileSync(paths.evaluation),
    optimizer: readFileSync(paths.optimizer),
  });
}

async function officialFeeds(feeds: Feeds) {
  const { Tensor } = await officialRuntime();
  const tensors = Object.entries(feeds).map(([name, { data, dims }]) => {
    return [name, new Tensor(data instanceof Float32Array ? 'float32' : 'int64', data, dims)] as const;
  });
  return Object.fromEntries(tensors);
}

async function trainOn(trainer: Trainer, batches: readonly Feeds[]): Promise<number[]> {
  const losses: number[] = [];
  for await (const { loss } of trainer.fit(batches)) losses.push(loss);
  return losses;
}

/** Parameters and running statistics by name. */
function values({ trainable, store, buffers }: Trainer): Map<string, Float32Array> {
  const named = (list: readonly { name: string }[], views: readonly Float32Array[]) =>
    list.map(({ name }, index) => [name, views[index]!] as const);
  return new Map([
    ...named(trainable.parameters, store.views('parameters')),
    ...named(trainable.buffers, buffers.views('parameters')),
  ]);
}

/** All parameters, which the official runtime hands out in the order of the training model's inputs. */
async function officialParameters(session: OfficialTraining, folder: string): Promise<Map<string, Float32Array>> {
  const flat = (await session.getContiguousParameters(false)).data as Float32Array;
  const { trainable, frozen } = await readCheckpoint(artifactPaths(folder).checkpoint);
  const sizes = new Map([...trainable, ...frozen].map(({ name, data }) => [name, data.byteLength / 4]));
  const found = new Map<string, Float32Array>();
  let position = 0;
  for (const { name } of readModel(artifactPaths(folder).training).model.graph!.input) {
    const size = sizes.get(name);
    if (size === undefined) continue;
    found.set(name, flat.subarray(position, position + size));
    position += size;
  }
  expect(position).toBe(flat.length);
  return found;
}

/** Of all parameters as one vector, in parts of its norm. */
function distance(got: ReadonlyMap<string, Float32Array>, wanted: ReadonlyMap<string, Float32Array>): number {
  let [difference, norm] = [0, 0];
  for (const [name, values] of got) {
    const others = wanted.get(name)!;
    expect(values.length).toBe(others.length);
    for (const [index, value] of values.entries()) {
      difference += (value - others[index]!) ** 2;
      norm += others[index]! ** 2;
    }
  }
  return Math.sqrt(difference / norm);
}

type Values = ReadonlyMap<string, Float32Array>;

/** All parameters together within 1e-5, and what ten steps have changed in each tensor within 1e-3 of that. */
function expectEqual(got: Values, wanted: Values, before: Values): void {
  expect(distance(got, wanted)).toBeLessThan(1e-5);
  const changes = (after: Values, name: string) =>
    new Map([[name, after.get(name)!.map((value, index) => value - before.get(name)![index]!)]]);
  for (const name of got.keys()) expect(distance(changes(got, name), changes(wanted, name)), name).toBeLessThan(1e-3);
}

/** The checkpoint's tensors by name. */
async function written(folder: string): Promise<Map<string, Float32Array>> {
  const { trainable, frozen } = await readCheckpoint(artifactPaths(folder).checkpoint);
  return new Map([...trainable, ...frozen].map(({ name, data }) => [name, new Float32Array(data.slice().buffer)]));
}

async function trainedOfficially(session: OfficialTraining, batches: readonly Feeds[], loss: string) {
  const losses: number[] = [];
  for (const batch of batches) {
    const run = await session.runTrainStep(await officialFeeds(batch));
    losses.push(Number(run[loss]!.data[0]));
    await session.runOptimizerStep();
    await session.lazyResetGrad();
  }
  return losses;
}

describe.each(Object.entries(cases))('%s', (name, { model, feeds, options = {}, frozen = [] }) => {
  const folder = join(scratch, name.replaceAll(' ', '-'));

  test('ten steps, officially and here', async () => {
    const source = model();
    const report = await writeArtifacts(source, folder, options);
    expect(readdirSync(folder).sort()).toEqual([
      'checkpoint',
      'eval_model.onnx',
      'optimizer_model.onnx',
      'training_model.onnx',
    ]);
    const session = await officialSession(folder);
    expect(session.trainingInputNames).toEqual(report.inputs);
    expect(report.frozen.map(({ name }) => name)).toEqual(frozen);
    const batches = Array.from({ length: 10 }, (_, seed) => feeds(seed));
    const { optimizer, ...rest } = options;
    const own = await Trainer.create(source, {
      ...rest,
      optimizer: {
        ...(optimizer ?? { type: 'adamw', form: 'runtime', epsilon: 1e-6, weightDecay: 0 }),
        learningRate: Math.fround(1e-3),
      },
    });
    const reread = await openArtifacts(folder);
    const losses = await trainOn(own, batches);
    const again = await trainOn(reread, batches);
    const official = await trainedOfficially(session, batches, report.loss);
    // Of our own accord biases do not decay; the official optimizer decays all.
    const decays = optimizer?.type === 'adamw' && (optimizer.weightDecay ?? 0) > 0;
    const runs = [{ trainer: reread, got: again }, ...(decays ? [] : [{ trainer: own, got: losses }])];
    for (const { trainer, got } of runs) {
      for (const [index, loss] of got.entries()) expect(Math.abs(loss / official[index]! - 1)).toBeLessThan(1e-5);
      expect(values(trainer).size).toBeGreaterThan(1);
      expectEqual(values(trainer), await officialParameters(session, folder), await written(folder));
    }
    await Promise.all([own.close(), reread.close(), session.release()]);
  });
});

/** Images of 2 x 2, made twice as large by factors that are an initializer, as PyTorch exports them. */
function resized(): ModelProto {
  const g = GraphBuilder.create('resized');
  const x = g.input('x', 'float32', ['N', 1, 2, 2]);
  const scales = g.initializer('scales', [4], Float32Array.of(1, 1, 2, 2));
  const flat = g.op('Flatten', [g.op('Resize', [x, null, scales])]);
  const weights = [g.initializer('weight', [16, 3], noise(48, 1)), g.initializer('bias', [3], noise(3, 2))];
  g.output(g.op('Gemm', [flat, ...weights], {}, { name: 'y' }), 'float32', ['N', 3]);
  return modelOf(g.graph, { opset: 17 });
}

function twoOutputs(): ModelProto {
  const model = mlp(3);
  model.graph!.output.unshift(valueInfo('Sigmoid', 'float32', ['N', 16]));
  return model;
}

const labelled = (dims: number[]) => (seed: number) => {
  const labels = BigInt64Array.from([0, 2, 1, 1, 2, 0], BigInt);
  const { input } = images(dims, 3)(seed);
  return { x: input!, labels: { data: labels, dims: [6] } };
};

interface OwnCase {
  readonly model: () => ModelProto;
  readonly options: WriteArtifactsOptions;
  readonly feeds: (seed: number) => Feeds;
}

const own: Readonly<Record<string, OwnCase>> = {
  bits: { model: () => mlp(4), options: { loss: 'bceWithLogits' }, feeds: vectors(4) },
  classes: { model: () => mlp(3), options: {}, feeds: labelled([6, 12]) },
  'classes of one of two outputs, one ignored': {
    model: twoOutputs,
    options: { loss: { type: 'crossEntropy', ignoreIndex: 1 }, lossOutput: 'y' },
    feeds: labelled([6, 12]),
  },
  'factors that are no weights': { model: resized, options: {}, feeds: labelled([6, 1, 2, 2]) },
};

test.each(Object.entries(own))('opened again, evaluated and saved: %s', async (name, { model, options, feeds }) => {
  const [source, folder] = [model(), join(scratch, `own-${name}`)];
  const batches = [feeds(0), feeds(1)];
  expect((await writeArtifacts(source, folder, options)).frozen).toEqual([]);
  const wanted = await evaluate(source, batches, options);
  const trainer = await openArtifacts(folder);
  const path = join(folder, 'saved.onnx');
  await trainer.save(path);
  const { graph } = readModel(path).model;
  expect(graph!.input.map(({ name }) => name)).toEqual(['x']);
  expect(graph!.output.map(({ name }) => name)).toEqual(source.graph!.output.map(({ name }) => name));
  for (const got of [await trainer.evaluate(batches), await evaluate(path, batches, options)]) {
    expect(got).toEqual({ ...wanted, loss: expect.closeTo(wanted.loss, 5) });
  }
  await trainer.close();
});

describe('what is written', () => {
  const folder = join(scratch, 'layout');

  test('has the official names, in the official order', async () => {
    const report = await writeArtifacts(mlp(3), folder, {
      loss: 'mse',
      frozen: ['fc1.weight'],
      additionalOutputs: ['y'],
    });
    expect(report).toMatchObject({ inputs: ['x', 'target'], target: 'target', lossOutput: 'y', optimizer: 'adamw' });
    const { graph } = readModel(report.files.training).model;
    expect(graph!.input.map(({ name }) => name)).toEqual([
      ...['x', 'target', 'fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias'],
      ...['fc1.bias', 'fc2.weight', 'fc2.bias'].map((name) => `${name}_grad.accumulation.buffer`),
      'lazy_reset_grad',
    ]);
    const flags = ['fc1.bias', 'fc2.weight', 'fc2.bias'].map((name) => `${name}_grad.accumulation.out`);
    expect(graph!.output.map(({ name }) => name)).toEqual([report.loss, 'y', ...flags]);
    expect(graph!.initializer).toEqual([]);
    const evaluation = readModel(report.files.evaluation).model.graph!;
    expect(evaluation.output.map(({ name }) => name)).toEqual([report.loss, 'y']);
    const session = await officialSession(folder);
    const batch = await officialFeeds(vectors(3)(1));
    const run = await session.runTrainStep(batch);
    expect(run['y']!.dims).toEqual([6, 3]);
    const loss = Number(run[report.loss]!.data[0]);
    expect(Number((await session.runEvalStep(batch))[report.loss]!.data[0])).toBeCloseTo(loss, 6);
    await session.release();
  });

  test('goes into a folder that is there, and leaves what else is in it', async () => {
    writeFileSync(join(folder, 'notes.txt'), 'mine');
    await writeArtifacts(mlp(3), folder, { loss: 'mse', prefix: 'second_', optimizer: sgd, learningRate: 0.5 });
    expect(readdirSync(folder).sort()).toEqual([
      ...['checkpoint', 'eval_model.onnx', 'notes.txt', 'optimizer_model.onnx'],
      ...['second_checkpoint', 'second_eval_model.onnx', 'second_optimizer_model.onnx', 'second_training_model.onnx'],
      'training_model.onnx',
    ]);
    const loaded = await openArtifacts(folder, { prefix: 'second_' });
    expect(loaded.options.optimizer).toEqual({ type: 'sgd', learningRate: 0.5 });
    await loaded.close();
  });

  test('is nothing where it cannot be', async () => {
    const missing = join(scratch, 'missing');
    const failing: [WriteArtifactsOptions, string][] = [
      [{ loss: 'mse', lossOutput: 'z' }, 'Expected lossOutput to be one of the outputs "y", got "z"'],
      [{ loss: 'mse', frozen: ['fc*'] }, 'Expected the model to have something to train'],
      [{ loss: 'mse', trainable: ['fc3*'] }, 'Expected trainable to match the name of an initializer, got "fc3*"'],
      [
        { loss: 'mse', additionalOutputs: ['z'] },
        'Expected additionalOutputs to be outputs of the model, "y", got "z"',
      ],
      [
        { loss: 'mse', optimizer: { type: 'sgd', momentum: 0.9 } as ArtifactOptimizer },
        'of sgd in artifacts "momentum"',
      ],
      [{ loss: 'mse', optimizer: { type: 'adam' } as unknown as ArtifactOptimizer }, '"adamw" or "sgd"'],
      [{ loss: 'mse', learningRate: 0 }, 'Expected learningRate to be a number in'],
      [{ los: 'mse' } as WriteArtifactsOptions, 'Unknown option "los"; did you mean "loss"?'],
    ];
    for (const [options, message] of failing) {
      await expect(writeArtifacts(mlp(3), missing, options)).rejects.toThrow(message);
    }
    const typed = mlp(3);
    const [weight] = typed.graph!.initializer;
    weight!.floatData = [...new Float32Array(weight!.rawData.slice().buffer)];
    clearField(weight!, TensorProtoSchema.field.rawData);
    await expect(writeArtifacts(typed, missing, { loss: 'mse' })).rejects.toThrow(
      'Expected 768 bytes in rawData of tensor fc1.weight, got 0',
    );
    const newer = mlp(3);
    newer.opsetImport[0]!.version = 22n;
    await expect(writeArtifacts(newer, missing, { loss: 'mse' })).rejects.toThrow('got opset 22');
    expect(existsSync(missing)).toBe(false);
    expect(readdirSync(scratch).filter((name) => name.startsWith('.'))).toEqual([]);
    writeFileSync(join(scratch, 'file'), '');
    await expect(writeArtifacts(mlp(3), join(scratch, 'file/inside'), { loss: 'mse' })).rejects.toThrow(
      'Could not write',
    );
  });
});
