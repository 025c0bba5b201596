// `sweep`: one dense model, pruned at many ratios in several ways, and measured. Thresholds of all ratios of a scope come
// from one read of the weights; one-shot points are pruned in memory; finished points are kept and found again.
import { basename } from 'node:path';
import { performance } from 'node:perf_hooks';
import { aborted, throwIfAborted } from '../errors.js';
import type { Scope } from '../native/common-contract.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { writeModel } from '../onnx/write.js';
import type { Selection } from '../prune/select.js';
import { type FileSelections, selectFromFile } from '../prune/select-file.js';
import { recalibrateBatchNorm } from '../training/batch-norm/recalibrate.js';
import { hashModel, SweepFolder, type SweepSettings } from './folder.js';
import { planSweep, type SweepOptions, type SweepPlan } from './options.js';
import { PrunedModel } from './pruned-model.js';
import type { Metrics, SweepPoint, SweepReport } from './report.js';
import { isTrained, placeKey, type SweepPlace } from './series.js';
import { epochsOfPlace, trainingSettings, trainPoint } from './training.js';

/** What an epoch of training weighs against an evaluation, for the time left. */
const EPOCH_WORK = 8;
const DENSE = 'dense';

/**
 * Prunes a model at many ratios and measures each.
 *
 * @param model an ONNX file; it stays as it is.
 * @throws SecateurError as `prune` and the training methods; INVALID_OPTION where the folder holds other points; ABORTED
 *   (the folder then has all finished points, and the checkpoint of the one under way).
 * @example
 * const test = new Batches(await openDataset('cifar-10', 'test'), { shuffle: false });
 * const report = await sweep('resnet56.onnx', {
 *   ratios: [0.5, 0.7, 0.9],
 *   scopes: ['global', 'layer'],
 *   evaluate: async (model) => ({ accuracy: (await evaluate(model, test)).accuracy }),
 * });
 */
export async function sweep(model: string, options: SweepOptions): Promise<SweepReport> {
  const plan = planSweep(options);
  throwIfAborted(options.signal);
  const selected = await selectAll(model, plan, options);
  return await new Sweep(model, options, plan, selected).toEnd();
}

type Selected = Map<Scope, FileSelections>;

/** One read of the weights for each scope. Where all points train, the layers are still to be known. */
async function selectAll(model: string, { ratios, series, minKeep, threads }: SweepPlan, options: SweepOptions) {
  const { include, exclude, signal } = options;
  const selected: Selected = new Map();
  for (const scope of new Set(series.map((each) => each.scope))) {
    selected.set(scope, await selectFromFile(model, { ratios, scope, minKeep, include, exclude, threads, signal }));
  }
  return selected;
}

class Sweep {
  readonly #path: string;
  readonly #options: SweepOptions;
  readonly #plan: SweepPlan;
  readonly #selected: Selected;
  readonly #source: FileSelections;
  #folder: SweepFolder | undefined;
  #settings: SweepSettings = {};
  /** Read when the first point needs it. */
  #model: PrunedModel | undefined;
  #finished = 0;
  #done = 0;
  /** Of work; the dense model is 1. */
  #total = 1;

  constructor(path: string, options: SweepOptions, plan: SweepPlan, selected: Selected) {
    this.#path = path;
    this.#options = options;
    this.#plan = plan;
    this.#selected = selected;
    this.#source = [...selected.values()][0] as FileSelections;
  }

  async toEnd(): Promise<SweepReport> {
    const { series, ratios } = this.#plan;
    const places = series.flatMap((each) => ratios.map((ratio) => ({ ...each, ratio })));
    await this.#openFolder();
    const found = await this.#findAll(places);
    const dense = await this.#denseMetrics();
    const points: SweepPoint[] = [];
    for (const place of places) {
      throwIfAborted(this.#options.signal);
      const known = found.get(placeKey(place));
      const point = known ?? (await this.#make(place));
      if (known === undefined) this.#done += this.#workOf(place);
      this.#finished += 1;
      points.push(point);
      this.#options.onPoint?.(point, known === undefined ? 'made' : 'found');
    }
    return this.#report(dense, points);
  }

  async #openFolder(): Promise<void> {
    const { folder, settings, minKeep = 0, include = [], exclude = [], evaluate } = this.#options;
    // Nothing is worth keeping of what takes milliseconds.
    if (folder === undefined || evaluate === undefined) return;
    this.#folder = await SweepFolder.open(folder);
    this.#settings = { model: await hashModel(this.#path), minKeep, include, exclude, ...settings };
  }

  /** Finished points, all of them checked before any work begins. */
  async #findAll(places: readonly SweepPlace[]): Promise<Map<string, SweepPoint>> {
    const found = new Map<string, SweepPoint>();
    for (const place of places) {
      const point = await this.#folder?.find<SweepPoint>(placeKey(place), this.#settingsOf(place));
      if (point !== undefined) found.set(placeKey(place), point);
      else this.#total += this.#workOf(place);
    }
    return found;
  }

  #settingsOf(place: SweepPlace): SweepSettings {
    const { training, recalibrate } = this.#options;
    if (place.recalibrated) {
      return { ...this.#settings, recalibrationBatches: recalibrate?.batches ?? null, ...recalibrate?.settings };
    }
    if (!isTrained(place) || training === undefined) return this.#settings;
    return { ...this.#settings, ...trainingSettings(training) };
  }

  #workOf(place: SweepPlace): number {
    return 1 + (isTrained(place) ? EPOCH_WORK * epochsOfPlace(place, this.#options.training) : 0);
  }

  async #denseMetrics(): Promise<Metrics | null> {
    const known = await this.#folder?.find<Metrics>(DENSE, this.#settings);
    const metrics = known ?? (await this.#measure(undefined, async () => this.#pruned().dense()));
    this.#done += 1;
    if (known === undefined && metrics !== null) await this.#folder?.keep(DENSE, this.#settings, metrics);
    return metrics;
  }

  async #make(place: SweepPlace): Promise<SweepPoint> {
    const point = await (isTrained(place) ? this.#trained(place) : this.#oneShot(place));
    await this.#folder?.keep(placeKey(place), this.#settingsOf(place), point);
    return point;
  }

  async #oneShot(place: SweepPlace): Promise<SweepPoint> {
    const begin = performance.now();
    const { prunable, zeros } = this.#source;
    const selection = this.#selection(place);
    // Below a threshold above zero every zero is removed, else the old zeros stay.
    const layers = prunable.map(({ weights }, index) => {
      return weights - Math.max(zeros[index] ?? 0, selection.tensors[index]?.removed ?? 0);
    });
    const metrics = await this.#measure(place, async () => {
      const pruned = await this.#pruned().pruned(selection);
      const model = place.recalibrated ? await this.#recalibrated(place, pruned) : pruned;
      await this.#keepModel(place, model);
      return model;
    });
    const { threshold } = selection;
    return { ...place, epochs: 0, kept: sum(layers), layers, threshold, metrics, seconds: secondsSince(begin) };
  }

  async #recalibrated(place: SweepPlace, model: ModelProto): Promise<ModelProto> {
    const { recalibrate, signal } = this.#options;
    const { source = [], batches } = recalibrate ?? {};
    const onProgress = () => this.#progress(place, 'recalibrate', 0);
    const { threads } = this.#plan;
    return (await recalibrateBatchNorm(model, source, { batches, threads, signal, onProgress })).model;
  }

  #selection({ scope, ratio }: SweepPlace): Selection {
    return this.#selected.get(scope)?.selections[this.#plan.ratios.indexOf(ratio)] as Selection;
  }

  #pruned(): PrunedModel {
    this.#model ??= new PrunedModel(this.#source, this.#plan.threads);
    return this.#model;
  }

  async #trained(place: SweepPlace): Promise<SweepPoint> {
    const { training, signal } = this.#options;
    if (training === undefined) throw new TypeError('Expected training, which planSweep has checked');
    const key = placeKey(place);
    const opened = await training.open(this.#path);
    const { trainer } = opened;
    try {
      const run = { checkpoint: this.#folder?.checkpoint(key), resume: true, signal };
      const report = await trainPoint(
        opened,
        place,
        { ...training, minKeep: this.#plan.minKeep },
        { ...run, onProgress: ({ phase, done }) => this.#progress(place, phase, EPOCH_WORK * done) },
      );
      const begin = performance.now();
      await this.#keepModel(place, trainer.model);
      const metrics = await this.#measure(place, async () => trainer.model);
      const kept = new Map(report.tensors.map((tensor) => [tensor.name, tensor.kept]));
      const layers = this.#layers().map((layer) => kept.get(layer.name) ?? layer.kept);
      const seconds = report.seconds + secondsSince(begin);
      return { ...place, epochs: report.epochs, kept: sum(layers), layers, threshold: null, metrics, seconds };
    } finally {
      await trainer.close();
    }
  }

  async #measure(place: SweepPlace | undefined, model: () => Promise<ModelProto>): Promise<Metrics | null> {
    const { evaluate, signal } = this.#options;
    if (evaluate === undefined) return null;
    const before = place === undefined ? 0 : this.#workOf(place) - 1;
    const onProgress = (done: number, total: number) => this.#progress(place, 'evaluate', before + done / total);
    const measuring: Promise<Metrics> = evaluate(await model(), { signal, onProgress });
    const metrics = await measuring;
    // An evaluator may not look at the signal.
    if (signal?.aborted) throw aborted(signal);
    return metrics;
  }

  #progress(place: SweepPlace | undefined, phase: string, work: number): void {
    const [finished, total] = [this.#finished, this.#total];
    const points = this.#plan.series.length * this.#plan.ratios.length;
    this.#options.onProgress?.({ place, phase, finished, points, done: this.#done + work, total });
  }

  async #keepModel(place: SweepPlace, model: ModelProto): Promise<void> {
    if (this.#options.keepModels && this.#folder) await writeModel(this.#folder.model(placeKey(place)), model);
  }

  #layers() {
    return this.#source.prunable.map(({ name, shape, weights }, index) => {
      return { name, shape, weights, kept: weights - (this.#source.zeros[index] ?? 0) };
    });
  }

  #report(metrics: Metrics | null, points: SweepPoint[]): SweepReport {
    const layers = this.#layers();
    const { metadataProps } = this.#source.loaded.model;
    const architecture = metadataProps.find(({ key }) => key === 'architecture')?.value;
    const name = architecture ?? basename(this.#path, '.onnx');
    const weights = sum(layers.map((layer) => layer.weights));
    return { model: this.#path, name, weights, dense: { metrics }, layers, points };
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function secondsSince(begin: number): number {
  return (performance.now() - begin) / 1000;
}
