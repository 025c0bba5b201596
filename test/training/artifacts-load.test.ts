// Artifacts that the official tool has made, trained on the stock runtime and held against the official one.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Feeds, FeedTensor } from '../../src/data/feeds.js';
import type { ArtifactPaths } from '../../src/training/artifacts/paths.js';
import { saveCheckpoint } from '../../src/training/artifacts/save-checkpoint.js';
import { type ArtifactTrainerOptions, openArtifacts } from '../../src/training/artifacts/trainer.js';
import { readCheckpoint } from '../../src/training/checkpoint/files.js';
import type { Trainer } from '../../src/training/trainer.js';
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
function flat(trainer: Trainer): Float32Array {
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
});
