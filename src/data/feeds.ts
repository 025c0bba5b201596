// Feeds: named tensors, as a model takes them. Batches of a data set become feeds here, and feeds of users' own, from
// any iterable, are checked here before a model sees them.

import { SecateurError } from '../errors.js';
import type { Batch } from './batches.js';
import { elementsOf } from './dataset.js';

/** Typed arrays that a feed can hold, with the element type that ONNX gives them; bool as Uint8Array is not meant. */
export type FeedData = Float32Array | Float64Array | BigInt64Array | Int32Array | Uint8Array;

/** One tensor: row-major data of `dims`. */
export interface FeedTensor {
  data: FeedData;
  dims: readonly number[];
}

/** The inputs of one step, by name. */
export type Feeds = Readonly<Record<string, FeedTensor>>;

/** What training and evaluation take: feeds from anywhere, such as an async generator of the user's. */
export type FeedSource = Iterable<Feeds> | AsyncIterable<Feeds>;

/** What a model says about one of its inputs. */
export interface FeedSpecification {
  name: string;
  type: 'float32' | 'float64' | 'int64' | 'int32' | 'uint8';
  /** A length, or anything where it is a name or unknown. */
  dims: readonly (number | string | null)[];
}

/** A batch under the names of a model's inputs. Shares the batch's memory. */
export function toFeeds(batch: Batch, names: { inputs: string; labels: string }): Feeds {
  return {
    [names.inputs]: { data: batch.inputs, dims: batch.inputShape },
    [names.labels]: { data: batch.labels, dims: batch.labelShape },
  };
}

/** Batches under the names of a model's inputs. */
export function* feedsOf(batches: Iterable<Batch>, names: { inputs: string; labels: string }): Generator<Feeds> {
  for (const batch of batches) yield toFeeds(batch, names);
}

/**
 * The same feeds, each checked: every input there, nothing else, element types, lengths and shapes right.
 *
 * @throws SecateurError INVALID_DATA with the position of the wrong feed and the input's name, or where there is none.
 */
export async function* checkedFeeds(source: FeedSource, inputs: readonly FeedSpecification[]): AsyncGenerator<Feeds> {
  let position = 0;
  for await (const feeds of source) {
    checkFeeds(feeds, inputs, position++);
    yield feeds;
  }
  if (position === 0) throw new SecateurError('INVALID_DATA', 'Expected at least one batch of data, got none');
}

/** Checks one set of feeds; `position` is for the message. */
export function checkFeeds(feeds: Feeds, inputs: readonly FeedSpecification[], position = 0): void {
  const where = `batch ${position}`;
  for (const name of Object.keys(feeds)) {
    if (inputs.some((input) => input.name === name)) continue;
    const known = inputs.map((input) => input.name).join(', ');
    throw wrongFeed(name, `Expected ${where} to feed only the inputs ${known}, got ${JSON.stringify(name)}`);
  }
  for (const input of inputs) {
    const feed = feeds[input.name];
    if (!feed) throw wrongFeed(input.name, `Expected ${where} to feed the input ${input.name}, but it is missing`);
    checkTensor(feed, input, where);
  }
}

function checkTensor({ data, dims }: FeedTensor, input: FeedSpecification, where: string): void {
  const type = typeName(data);
  if (type !== input.type) {
    throw wrongFeed(input.name, `Expected input ${input.name} of ${where} to be ${input.type}, got ${type}`);
  }
  if (!dims.every((size) => Number.isInteger(size) && size >= 0) || elementsOf(dims) !== data.length) {
    const got = `${data.length} elements for shape [${dims.join(', ')}]`;
    throw wrongFeed(input.name, `Expected input ${input.name} of ${where} to be as long as its shape says, got ${got}`);
  }
  if (data.length === 0) throw wrongFeed(input.name, `Expected input ${input.name} of ${where} to have data, got none`);
  const fits = dims.length === input.dims.length && input.dims.every((size, axis) => fitsDimension(dims[axis], size));
  if (fits) return;
  const wanted = input.dims.map((size) => size ?? '?').join(', ');
  const message = `Expected input ${input.name} of ${where} to have the shape [${wanted}], got [${dims.join(', ')}]`;
  throw wrongFeed(input.name, message);
}

function fitsDimension(given: number | undefined, wanted: number | string | null): boolean {
  return typeof wanted !== 'number' || given === wanted;
}

function typeName(data: FeedData): string {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Float64Array) return 'float64';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof Int32Array) return 'int32';
  return data instanceof Uint8Array ? 'uint8' : typeof data;
}

function wrongFeed(tensor: string, message: string): SecateurError {
  return new SecateurError('INVALID_DATA', message, { tensor });
}
