// Artifacts that the official tool has made, trained on the stock runtime and held against the official one.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Feeds, FeedTensor } from '../../src/data/feeds.js';
import { SecateurError } from '../../src/errors.js';
import { loadArtifacts } from '../../src/training/artifacts/load.js';
import type { ArtifactPaths } from '../../src/training/artifacts/paths.js';
import { saveCheckpoint } from '../../src/training/artifacts/save-checkpoint.js';
import { type ArtifactTrainerOptions, openArtifacts } from '../../src/training/artifacts/trainer.js';
import { readCheckpoint } from '../../src/training/checkpoint/files.js';
import { Engine } from '../../src/training/engine/engine.js';
import type { ParameterStore } from '../../src/training/parameter-store.js';
import { enginePlan } from '../../src/training/prepare-engine.js';
import { Trainer } from '../../src/training/trainer.js';
import { noise } from '../autodiff/support.js';
import { type OfficialTraining, officialRuntime, trainOfficially } from './official.js';

const shared = join(process.env['SECATEUR_DATA'] ?? join(import.meta.dirname, '../../../shared'), 'ort-artifacts');
const scratch = mkdtempSync(join(tmpdir(), 'secateur-test-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Official {
  readonly name: string;
  readonly paths: ArtifactPaths;
  readonly options: ArtifactTrainerOptions;
  feeds(seed: number): Feeds;
}

function pathsIn(folder: string, names: Partial<Record<keyof ArtifactPaths, string>> = {}): ArtifactPaths {
  const path = (name: string) => join(shared, folder, name);
  return {
    training: path('training_model.onnx'),
    evaluation: path('eval_model.onnx'),
    checkpoint: path(names.checkpoint ?? 'checkpoint'),
    optimizer: path(names.optimizer ?? 'optimizer_model.onnx'),
  };
}

const classes = (count: number, of: number, seed: number) =>
  Array.from({ length: count }, (_, index) => (index * 7 + seed * 3) % of);
const int64 = (values: readonly number[]): FeedTensor => ({
  data: BigInt64Array.from(values, BigInt),
  dims: [values.length],
});
const pixels = (count: number, seed: number) => noise(count, seed).map((value) => Math.abs(value) / 2);

const sets: Official[] = [
  {
    name: 'ms-testdata-mnist',
    paths: pathsIn('ms-testdata-mnist', { checkpoint: 'checkpoint.ckpt', optimizer: 'adamw.onnx' }),
    options: { inputShapes: { 'input-0': [2, 784] } },
    feeds: (seed) => ({
      'input-0': { data: pixels(4 * 784, seed), dims: [4, 784] },
      labels: { data: Int32Array.from(classes(4, 10, seed)), dims: [4] },
    }),
  },
  {
    name: 'mnist-mlp-carzh',
    paths: pathsIn('mnist-mlp-carzh'),
    options: {},
    feeds: (seed) => ({
      input: { data: pixels(4 * 784, seed), dims: [4, 784] },
      labels: int64(classes(4, 10, seed)),
    }),
  },
  {
    name: 'eeg-seizureguard',
    paths: pathsIn('eeg-seizureguard'),
    options: {},
    feeds: (seed) => ({
      input: { data: noise(3 * 18 * 1024, seed).map((value) => value / 50_000), dims: [3, 18, 1024] },
      labels: int64(classes(3, 2, seed)),
    }),
  },
];

async function officialSession({ paths }: Official, checkpoint = paths.checkpoint): Promise<OfficialTraining> {
  return await trainOfficially({
    checkpoint: await readCheckpoint(checkpoint),
    training: readFileSync(paths.training),
    evaluation: readFileSync(paths.evaluation),
    optimizer: readFileSync(paths.optimizer!),
  });
}

async function officialStep(session: OfficialTraining, batches: readonly Feeds[]): Promise<number[]> {
  const { Tensor } = await officialRuntime();
  const losses: number[] = [];
  for (const feeds of batches) {
    const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [name, new Tensor(typeOf(data), data, dims)]);
    const run = await session.runTrainStep(Object.fromEntries(tensors));
    losses.push(Number(run[session.trainingOutputNames[0]!]!.data[0]));
  }
  await session.runOptimizerStep();
  await session.lazyResetGrad();
  return losses;
}

function typeOf(data: FeedTensor['data']): string {
  if (data instanceof Float32Array) return 'float32';
  return data instanceof Int32Array ? 'int32' : 'int64';
}

async function lossesOf(trainer: Trainer, feeds: readonly Feeds[]): Promise<number[]> {
  const losses: number[] = [];
  for await (const { loss } of trainer.fit(feeds)) losses.push(loss);
  return losses;
}

function expectClose(got: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): void {
  expect(got.length).toBe(wanted.length);
  let worst = 0;
  for (let index = 0; index < got.length; index++) {
    worst = Math.max(worst, Math.abs(got[index]! - wanted[index]!) / Math.max(1, Math.abs(wanted[index]!)));
  }
  expect(worst).toBeLessThan(tolerance);
}

/** All trainable parameters one after the other, in the order of the training graph, as the official runtime gives them. */
function flat(trainer: { readonly store: ParameterStore }): Float32Array {
  const views = trainer.store.views('parameters');
  const all = new Float32Array(views.reduce((sum, { length }) => sum + length, 0));
  let position = 0;
  for (const view of views) {
    all.set(view, position);
    position += view.length;
  }
  return all;
}

const present = existsSync(shared);
if (!present) console.warn(`skipped: artifacts of the official tool are not in ${shared}`);

describe.skipIf(!present)('official artifacts', () => {
  test("the reference losses of Microsoft's test data", async () => {
    const [set] = sets;
    const text = readFileSync(join(shared, 'ms-testdata-mnist/input-0.in'), 'utf8');
    const values = text
      .slice(text.indexOf('['))
      .match(/-?\d+(\.\d+)?(e-?\d+)?/g)!
      .map(Number);
    const feeds = {
      'input-0': { data: Float32Array.from(values), dims: [2, 784] },
      labels: { data: Int32Array.of(1, 1), dims: [2] },
    };
    const trainer = await openArtifacts(set!.paths, set!.options);
    const [before, after] = await lossesOf(trainer, [feeds, feeds]);
    await trainer.close();
    expect(before).toBeCloseTo(2.1786249, 6);
    expect(after).toBeCloseTo(0.36050943, 6);
  });

  test.each(sets.map((set) => [set.name, set] as const))('%s: ten AdamW steps', async (_, set) => {
    const batches = Array.from({ length: 10 }, (__, seed) => set.feeds(seed));
    const [trainer, session] = [await openArtifacts(set.paths, set.options), await officialSession(set)];
    const losses = await lossesOf(trainer, batches);
    const official: number[] = [];
    for (const feeds of batches) official.push(...(await officialStep(session, [feeds])));
    expectClose(losses, official, 1e-5);
    expectClose(flat(trainer), (await session.getContiguousParameters(true)).data as Float32Array, 1e-5);
    await Promise.all([trainer.close(), session.release()]);
  });

  test('batches add up to one step, as officially', async () => {
    const set = sets[1]!;
    const [batches, next] = [[0, 1, 2].map((seed) => set.feeds(seed)), [3, 4, 5].map((seed) => set.feeds(seed))];
    const session = await officialSession(set);
    for (const group of [batches, next]) await officialStep(session, group);
    // The official sum is taken without dividing it by 3.
    const loaded = await loadArtifacts(set.paths, set.options);
    const settings = { accumulate: 3, averageDecay: 0, threads: 1 };
    const optimizer = { ...loaded.optimizer!, learningRate: loaded.learningRate };
    const engine = await Engine.open(enginePlan(loaded, { ...settings, optimizer }));
    for (const group of [batches, next]) {
      for (const [index, feeds] of group.entries()) {
        const request = { feeds, learningRate: loaded.learningRate, rho: 0, gradientScale: 1 };
        await engine.step({ ...request, reset: index === 0, apply: index === group.length - 1 });
      }
    }
    const official = (await session.getContiguousParameters(true)).data as Float32Array;
    expectClose(flat(loaded), official, 1e-5);
    await Promise.all([engine.close(), session.release()]);
    loaded.store.dispose();
  });

  test('a checkpoint goes on where it was saved, here and officially', async () => {
    const set = sets[1]!;
    const batches = Array.from({ length: 8 }, (_, seed) => set.feeds(seed));
    const path = join(scratch, 'checkpoint');
    const [whole, first] = [await openArtifacts(set.paths, set.options), await openArtifacts(set.paths, set.options)];
    const losses = await lossesOf(whole, batches);
    await lossesOf(first, batches.slice(0, 4));
    await saveCheckpoint(path, first, { properties: [{ kind: 'int', name: 'epoch', value: 3n }] });
    await first.close();
    const saved = await readCheckpoint(path);
    expect(saved).toMatchObject({ version: 2, properties: [{ name: 'epoch', value: 3n }] });
    expect(saved.optimizerGroups[0]).toMatchObject({ name: 'group0', step: 4 });
    const resumed = await openArtifacts({ ...set.paths, checkpoint: path }, set.options);
    expect(resumed.steps).toBe(4);
    expect(await lossesOf(resumed, batches.slice(4))).toEqual(losses.slice(4));
    expect(Buffer.compare(Buffer.from(flat(resumed).buffer), Buffer.from(flat(whole).buffer))).toBe(0);
    const session = await officialSession(set, path);
    const official: number[] = [];
    for (const feeds of batches.slice(4)) official.push(...(await officialStep(session, [feeds])));
    expectClose(official, losses.slice(4), 1e-5);
    expectClose(flat(whole), (await session.getContiguousParameters(true)).data as Float32Array, 1e-5);
    await Promise.all([whole.close(), resumed.close(), session.release()]);
  });

  test('the model inside is saved and evaluated', async () => {
    const set = sets[2]!;
    const trainer = await openArtifacts(set.paths, set.options);
    const feeds = [set.feeds(0), set.feeds(1)];
    const { loss, samples, accuracy } = await trainer.evaluate(feeds);
    expect(samples).toBe(6);
    expect([0, 1, 2, 3, 4, 5, 6].map((right) => right / 6)).toContain(accuracy);
    const path = join(scratch, 'trained.onnx');
    await trainer.save(path);
    const again = await Trainer.create(path, { trainable: ['classifier*'] });
    expect((await again.evaluate(feeds)).loss).toBeCloseTo(loss, 5);
    await Promise.all([trainer.close(), again.close()]);
  });

  test('what cannot be read is refused by name', async () => {
    const ort = join(shared, 'ms-testdata-mnist/ort_format');
    await expect(loadArtifacts(ort)).rejects.toThrow(/training_model.onnx, got .*training_model.ort; the .ort format/);
    const [set] = sets;
    const nominal = { ...set!.paths, checkpoint: join(shared, 'ms-testdata-mnist/nominal_checkpoint') };
    await expect(loadArtifacts(nominal, set!.options)).rejects.toThrow('got a nominal checkpoint');
    const foreign = { ...set!.paths, checkpoint: sets[2]!.paths.checkpoint };
    await expect(loadArtifacts(foreign, set!.options)).rejects.toThrow(SecateurError);
    await expect(loadArtifacts(set!.paths)).rejects.toThrow('Expected the shape of input input-0 in inputShapes');
    await expect(loadArtifacts(join(shared, 'none'))).rejects.toThrow('there is no such file');
  });
});
