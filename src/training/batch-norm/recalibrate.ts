// Computes the running statistics of BatchNormalization anew from data: after a one-shot pruning activations have other
// means and variances than those that were learned. Forward passes only; no weight changes.

import { Batches } from '../../data/batches.js';
import { DetectionBatches } from '../../data/detection/batches.js';
import { checkFeeds, type FeedSource, type FeedSpecification, type Feeds } from '../../data/feeds.js';
import { SecateurError, throwIfAborted } from '../../errors.js';
import { copyModel } from '../../onnx/copy.js';
import { encodeFloats } from '../../onnx/elements.js';
import type { ModelProto } from '../../onnx/schema/onnx_pb.js';
import { writeModel } from '../../onnx/write.js';
import { checkKeys, checkNumber } from '../../options.js';
import { Session } from '../../runtime/session.js';
import { feedsOf } from '../evaluable.js';
import { readWholeModel } from '../model-file.js';
import { Moments } from './moments.js';
import { type Norm, statisticsProbe } from './probe.js';

export interface RecalibrateOptions {
  /** Batches to take, 1 or more; fewer where an epoch has fewer. @default 50 */
  batches?: number | undefined;
  /** An ONNX file to write the result to, atomically; may be the input. @default none */
  output?: string | undefined;
  /** The most threads; 0 means all cores. @default 0 */
  threads?: number | undefined;
  onProgress?: ((batch: number, batches: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface Recalibration {
  /** A copy of the model with new statistics; other tensors share their bytes with it. */
  model: ModelProto;
  /** BatchNormalization nodes whose statistics are new. */
  nodes: number;
  batches: number;
  samples: number;
}

/** Batches, of pictures with boxes too, or feeds by input name; labels among them are left out. */
export type InputSource = Batches | DetectionBatches | FeedSource | ((epoch: number) => FeedSource);

const KEYS = ['batches', 'output', 'threads', 'onProgress', 'signal'];
const DEFAULT_BATCHES = 50;

/**
 * Gives every BatchNormalization the mean and variance of its input over batches of training data, each batch normalised
 * by its own statistics as in training: the mean of the batches' means, and the variance of all their elements pooled,
 * in double precision. Dropout drops nothing. Statistics that several nodes share are pooled over the nodes.
 *
 * @param model an ONNX file, or a model in memory, which stays as it is.
 * @param source training data in random order.
 * @throws SecateurError UNSUPPORTED where the model has no BatchNormalization with statistics of its own; INVALID_DATA,
 *   INVALID_OPTION, NO_RUNTIME, RUNTIME, ABORTED.
 * @example
 * await prune('model.onnx', { output: 'pruned.onnx', ratio: 0.7 });
 * const batches = new Batches(await openDataset('cifar-10', 'train'), { batchSize: 128 });
 * await recalibrateBatchNorm('pruned.onnx', batches, { output: 'pruned.onnx' });
 */
export async function recalibrateBatchNorm(
  model: string | ModelProto,
  source: InputSource,
  options: RecalibrateOptions = {},
): Promise<Recalibration> {
  checkKeys('option', Object.keys(options), KEYS);
  const { batches: most = DEFAULT_BATCHES, threads = 0, output } = options;
  checkNumber('batches', most, { least: 1, whole: true });
  const result = copyModel(typeof model === 'string' ? readWholeModel(model) : model);
  const probe = statisticsProbe(result);
  const session = await Session.open(probe.model, { threads });
  try {
    const collected = new Statistics(probe.norms);
    const done = await collect(session, collected, batchesOf(source, feedsOf(probe.model)), {
      ...options,
      batches: most,
    });
    collected.writeInto(result);
    if (output !== undefined) await writeModel(output, result);
    return { model: result, nodes: probe.norms.length, ...done };
  } finally {
    await session.close();
  }
}

/** Nodes that share their statistics add to the same ones. */
class Statistics {
  readonly #norms: readonly Norm[];
  readonly #moments = new Map<string, Moments>();

  constructor(norms: readonly Norm[]) {
    this.#norms = norms;
    for (const { mean, channels } of norms) this.#moments.set(mean, new Moments(channels));
  }

  add(run: Awaited<ReturnType<Session['run']>>, samples: number): void {
    for (const { mean, batchMean, batchVariance } of this.#norms) {
      const [means, variances] = [run[batchMean]?.data, run[batchVariance]?.data];
      this.#moments.get(mean)?.add(means as Float32Array, variances as Float32Array, samples);
    }
  }

  writeInto(model: ModelProto): void {
    const initializers = new Map(model.graph?.initializer.map((tensor) => [tensor.name, tensor]));
    for (const norm of this.#norms) {
      const moments = this.#moments.get(norm.mean);
      for (const kind of ['mean', 'variance'] as const) {
        const tensor = initializers.get(norm[kind]);
        const bytes = moments && encodeFloats(tensor?.dataType ?? 0, moments[kind]);
        if (!tensor || !bytes) throw new SecateurError('INTERNAL', `Expected floats in ${norm[kind]}`);
        tensor.rawData = bytes;
      }
    }
  }
}

interface InputBatch {
  feeds: Feeds;
  samples: number;
}

async function collect(
  session: Session,
  statistics: Statistics,
  source: AsyncIterable<InputBatch>,
  { batches: most, onProgress, signal }: RecalibrateOptions & { batches: number },
): Promise<{ batches: number; samples: number }> {
  const done = { batches: 0, samples: 0 };
  for await (const { feeds, samples } of source) {
    throwIfAborted(signal);
    const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [name, session.tensor(data, dims)] as const);
    statistics.add(await session.run(Object.fromEntries(tensors)), samples);
    done.batches += 1;
    done.samples += samples;
    onProgress?.(done.batches, most);
    if (done.batches === most) break;
  }
  if (done.batches > 0) return done;
  throw new SecateurError('INVALID_DATA', 'Expected at least one batch of data to recalibrate with, got none');
}

/** The first epoch, with what the model takes of it. */
async function* batchesOf(source: InputSource, inputs: readonly FeedSpecification[]): AsyncGenerator<InputBatch> {
  let position = 0;
  for await (const { feeds, samples } of isBatches(source) ? ownBatches(source, inputs) : others(source)) {
    const wanted = Object.fromEntries(
      Object.entries(feeds).filter(([name]) => inputs.some((input) => input.name === name)),
    );
    checkFeeds(wanted, inputs, position++);
    yield { feeds: wanted, samples };
  }
}

function isBatches(source: InputSource): source is Batches | DetectionBatches {
  return source instanceof Batches || source instanceof DetectionBatches;
}

async function* ownBatches(
  source: Batches | DetectionBatches,
  [input, ...more]: readonly FeedSpecification[],
): AsyncGenerator<InputBatch> {
  if (input === undefined || more.length > 0) {
    const message = `Expected a model with one input, got ${more.length + 1}; feed it from an iterable of feeds`;
    throw new SecateurError('INVALID_DATA', message);
  }
  for await (const { inputs, inputShape, size } of source.epoch(0)) {
    yield { feeds: { [input.name]: { data: inputs, dims: inputShape } }, samples: size };
  }
}

async function* others(source: Exclude<InputSource, Batches | DetectionBatches>): AsyncGenerator<InputBatch> {
  for await (const feeds of typeof source === 'function' ? source(0) : source) {
    yield { feeds, samples: Object.values(feeds)[0]?.dims[0] ?? 1 };
  }
}
