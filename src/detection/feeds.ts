// Batches of pictures as a trainer takes them: the image and the loss's targets, by name. Decoding and assignment happen
// while the training thread is at the step before (batch-source.ts asks ahead).
import type { DetectionBatches } from '../data/detection/batches.js';
import type { BoxLabel } from '../data/detection/dataset.js';
import type { Feeds } from '../data/feeds.js';
import { invalidOption } from '../errors.js';
import type { EpochSource } from '../training/batch-source.js';
import { matchClasses } from './classes.js';
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
  /** The model's class of each category of the data. */
  readonly #classOf: ReadonlyMap<number, number>;

  /** @throws SecateurError INVALID_OPTION where pictures or classes are others than the network's. */
  constructor(batches: DetectionBatches, network: DetectionNetwork, options: TargetOptions = {}) {
    if (batches.size !== network.size) throw invalidOption('size', String(network.size), batches.size);
    const categories = matchClasses(network.classes, network.names, batches.dataset.classes);
    this.#classOf = new Map(categories.map((category, index) => [category, index]));
    this.#batches = batches;
    this.#input = network.input;
    this.#assigner = new TargetAssigner(network, options);
    this.perEpoch = batches.perEpoch;
    const { seed, batchSize, size, flip, mosaic } = batches;
    this.plan = { seed, batchSize, size, flip, mosaic, ...options };
  }

  async *epoch(epoch: number, from: number): AsyncGenerator<Feeds, void, undefined> {
    for await (const { inputs, inputShape, labels } of this.#batches.epoch(epoch, from)) {
      const own = labels.map((list) => list.map((label) => this.#inClasses(label)));
      yield { [this.#input]: { data: inputs, dims: inputShape }, ...this.#assigner.assign(own) };
    }
  }

  #inClasses(label: BoxLabel): BoxLabel {
    return { ...label, category: this.#classOf.get(label.category) ?? label.category };
  }
}
