// Where a trainer's batches come from: a data set's Batches, or feeds of the user's own; and their checks. Every epoch
// starts the source anew.
import { Batches, prefetch } from '../data/batches.js';
import { checkClassIndices } from '../data/dataset.js';
import { checkFeeds, type FeedSource, type Feeds, toFeeds } from '../data/feeds.js';
import { SecateurError } from '../errors.js';
import type { Evaluable } from './evaluable.js';

/**
 * Batches; or feeds by input name (with the labels under the name that `trainer.trainable.target` has), from an iterable
 * that begins anew each epoch, or from a function that is called once an epoch.
 */
export type BatchSource = Batches | EpochSource | FeedSource | ((epoch: number) => FeedSource);

/** Feeds of which it is known how many an epoch has, and that can begin at any of them. */
export interface EpochSource {
  readonly perEpoch: number;
  /** What a run must have in common with the one that it continues: plain JSON. */
  readonly plan: Readonly<Record<string, unknown>>;
  /** The rest of an epoch from a batch on, in memory that is not used again. */
  epoch(epoch: number, from: number): FeedSource;
}

export interface SourceBatch {
  readonly feeds: Feeds;
  readonly samples: number;
  /** Samples whose label counts; the loss is a mean over them. */
  readonly counted: number;
  /** Its place in the epoch, from 0. */
  readonly batch: number;
  /** `over`: nobody needs the feeds' memory afterwards. */
  readonly hand: 'over' | 'copy';
}

type Made = Omit<SourceBatch, 'counted'>;

/** Batches an epoch, where the source says so. */
export function batchesPerEpoch(source: BatchSource): number | undefined {
  return source instanceof Batches || isEpochSource(source) ? source.perEpoch : undefined;
}

export function isEpochSource(source: BatchSource): source is EpochSource {
  return !(source instanceof Batches) && 'perEpoch' in source && 'plan' in source;
}

/**
 * The checked batches of one epoch from batch `from` on; the next is made while the one before is used.
 *
 * @throws SecateurError INVALID_DATA with the batch and input where data do not fit the model, or there are none.
 */
export async function* epochOf(
  source: BatchSource,
  evaluable: Evaluable,
  epoch: number,
  from = 0,
): AsyncGenerator<SourceBatch, void, undefined> {
  let count = 0;
  for await (const batch of prefetch(made(source, evaluable, epoch, from))) {
    checkFeeds(batch.feeds, evaluable.inputs, batch.batch);
    count += 1;
    yield { ...batch, counted: countLabels(batch, evaluable) };
  }
  if (count > 0 || from > 0) return;
  throw new SecateurError(
    'INVALID_DATA',
    `Expected at least one batch of data in epoch ${epoch}, got none; a generator ends with its first epoch: give a function`,
  );
}

function made(source: BatchSource, evaluable: Evaluable, epoch: number, from: number) {
  if (source instanceof Batches) return ownBatches(source, evaluable, epoch, from);
  return isEpochSource(source) ? ofEpoch(source, epoch, from) : others(source, epoch, from);
}

function* ownBatches(source: Batches, evaluable: Evaluable, epoch: number, from: number): Generator<Made> {
  const names = { inputs: onlyInput(evaluable), labels: evaluable.target };
  for (const batch of source.epoch(epoch, from)) {
    yield { feeds: toFeeds(batch, names), samples: batch.size, batch: batch.position.batch, hand: 'over' };
  }
}

async function* others(
  source: FeedSource | ((epoch: number) => FeedSource),
  epoch: number,
  from: number,
): AsyncGenerator<Made> {
  let batch = 0;
  for await (const feeds of typeof source === 'function' ? source(epoch) : source) {
    if (batch >= from) yield { feeds, samples: samplesOf(feeds), batch, hand: 'copy' };
    batch += 1;
  }
}

async function* ofEpoch(source: EpochSource, epoch: number, from: number): AsyncGenerator<Made> {
  let batch = from;
  for await (const feeds of source.epoch(epoch, from)) {
    yield { feeds, samples: samplesOf(feeds), batch, hand: 'over' };
    batch += 1;
  }
}

/** The length of the first feed. */
function samplesOf(feeds: Feeds): number {
  return Object.values(feeds)[0]?.dims[0] ?? 1;
}

function onlyInput({ inputs, target }: Evaluable): string {
  const [first, ...more] = inputs.filter(({ name }) => name !== target);
  if (first !== undefined && more.length === 0) return first.name;
  const names = inputs.map(({ name }) => name).join(', ');
  const advice = 'feed a model with several inputs from an iterable of feeds';
  throw new SecateurError('INVALID_DATA', `Expected a model with one input beside the labels, got ${names}; ${advice}`);
}

/**
 * Samples whose label counts.
 *
 * @throws SecateurError INVALID_DATA: the runtime would read past the classes, or count a wrong label as none.
 */
function countLabels({ feeds, batch, samples }: Made, { target, classes, ignoreIndex }: Evaluable): number {
  const labels = feeds[target]?.data;
  if (classes === undefined || !(labels instanceof BigInt64Array)) return samples;
  checkClassIndices(labels, classes, `batch ${batch}`, ignoreIndex);
  if (ignoreIndex === undefined) return samples;
  const ignored = BigInt(ignoreIndex);
  return labels.reduce((count, label) => count + Number(label !== ignored), 0);
}
