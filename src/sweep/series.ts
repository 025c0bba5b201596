// What a sweep measures: series, each a way to prune, and a point of each series at every ratio. Names of both, in
// files and in legends.
import type { Scope } from '../native/common-contract.js';

export type SweepMethod = 'magnitude' | 'admm';

/** A way to prune: one line of a plot. */
export interface SweepSeries {
  readonly method: SweepMethod;
  readonly scope: Scope;
  /** Epochs of retraining after the pruning. 0 with `magnitude` is one-shot: nothing is trained. */
  readonly retrainEpochs: number;
  /** The running statistics of BatchNormalization are computed anew after a one-shot pruning. */
  readonly recalibrated: boolean;
}

/** One pruning of one model. */
export interface SweepPlace extends SweepSeries {
  /** Removal ratio, [0, 1). */
  readonly ratio: number;
}

/** Whether it needs training data: a one-shot pruning does not. */
export function isTrained({ method, retrainEpochs }: SweepSeries): boolean {
  return method === 'admm' || retrainEpochs > 0;
}

export interface SeriesChoice {
  readonly methods: readonly SweepMethod[];
  readonly scopes: readonly Scope[];
  readonly retrainEpochs: readonly number[];
  /** Adds to every one-shot series one that is recalibrated. */
  readonly recalibrate: boolean;
}

/** All series of a choice; those that train nothing come first, since they are done in seconds. */
export function allSeries({ methods, scopes, retrainEpochs, recalibrate }: SeriesChoice): SweepSeries[] {
  const series = retrainEpochs.flatMap((epochs) =>
    methods.flatMap((method) =>
      scopes.flatMap((scope): SweepSeries[] => {
        const plain = { method, scope, retrainEpochs: epochs, recalibrated: false };
        return recalibrate && !isTrained(plain) ? [plain, { ...plain, recalibrated: true }] : [plain];
      }),
    ),
  );
  return series.toSorted((a, b) => Number(isTrained(a)) - Number(isTrained(b)));
}

/** Tells points apart within a folder: `admm-global-5-epochs-0.9`. */
export function placeKey({ ratio, ...series }: SweepPlace): string {
  return `${seriesKey(series)}-${ratio}`;
}

export function seriesKey({ method, scope, retrainEpochs, recalibrated }: SweepSeries): string {
  const one = recalibrated ? 'recalibrated' : 'one-shot';
  const after = isTrained({ method, scope, retrainEpochs, recalibrated }) ? `${retrainEpochs}-epochs` : one;
  return `${method}-${scope}-${after}`;
}

const METHODS = { magnitude: 'magnitude', admm: 'ADMM' } as const;

/** A series, with all epochs of training at its points where they are known. */
type Told = SweepSeries & { readonly epochs?: number };

/** A name for each series that says no more than what tells them apart: `global`, `layer`. */
export function seriesLabels(series: readonly Told[]): string[] {
  const parts = series.map((each) => [METHODS[each.method], each.scope, afterPruning(each)]);
  const differs = (at: number) => new Set(parts.map((part) => part[at])).size > 1;
  return parts.map((part) => {
    const told = part.filter((_, at) => differs(at));
    return (told.length > 0 ? told : part).join(', ');
  });
}

function afterPruning(series: Told): string {
  if (!isTrained(series)) return series.recalibrated ? 'one-shot, BN recalibrated' : 'one-shot';
  const { epochs } = series;
  if (epochs === undefined) return 'trained';
  return epochs === 1 ? '1 epoch' : `${epochs} epochs`;
}

/** A point in a sentence: `ADMM, layer, 34 epochs, 90%`. */
export function placeLabel(place: Told & SweepPlace): string {
  return `${METHODS[place.method]}, ${place.scope}, ${afterPruning(place)}, ${percent(place.ratio)}`;
}

/** How weights are chosen, in a few words: by one threshold over all layers unless it says otherwise. */
export function choiceLabel({ method, scope }: SweepSeries): string {
  return scope === 'global' ? METHODS[method] : `${METHODS[method]}, layer by layer`;
}

/** A ratio as it is asked for: `0.125` is `12.5%`. */
export function percent(ratio: number): string {
  return `${Number((100 * ratio).toFixed(6))}%`;
}
