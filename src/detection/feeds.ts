// Batches of pictures as a trainer takes them: the image and the loss's targets, by name. Decoding and assignment happen
// while the training thread is at the step before (batch-source.ts asks ahead).
import type { DetectionBatches } from '../data/detection/batches.js';
import type { Feeds } from '../data/feeds.js';
import { invalidOption } from '../errors.js';
import type { EpochSource } from '../training/batch-source.js';
import type { DetectionNetwork } from './heads.js';
import { TargetAssigner, type TargetOptions } from './targets.js';

/**
 * A source of batches for `Trainer.fit` and the methods.
 *
 * @example
 * const batches = new DetectionBatches(await openDetection('coco128'), { size: 256, batchSize: 8 });
 * await train(trainer, new DetectionFeeds(batches, detectionNetwork(model)), { epochs: 100 });
 */
export class DetectionFeeds implements EpochSource {
  readonly perEpoch: number;
  readonly plan: EpochSource['plan'];
  readonly #batches: DetectionBatches;
  readonly #input: string;
  readonly #assigner: TargetAssigner;

  /** @throws SecateurError INVALID_OPTION where the pictures are of another size than the network's input. */
  constructor(batches: DetectionBatches, network: DetectionNetwork, options: TargetOptions = {}) {
    if (batches.size !== network.size) throw invalidOption('size', String(network.size), batches.size);
    this.#batches = batches;
    this.#input = network.input;
    this.#assigner = new TargetAssigner(network, options);
    this.perEpoch = batches.perEpoch;
    const { seed, batchSize, size, flip, mosaic } = batches;
    this.plan = { seed, batchSize, size, flip, mosaic, ...options };
  }

  async *epoch(epoch: number, from: number): AsyncGenerator<Feeds, void, undefined> {
    for await (const { inputs, inputShape, labels } of this.#batches.epoch(epoch, from)) {
      yield { [this.#input]: { data: inputs, dims: inputShape }, ...this.#assigner.assign(labels) };
    }
  }
}
