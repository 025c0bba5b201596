// What a sweep reports: plain objects, the same for programs, for `--json` and for tables and charts.
import { type SweepPlace, seriesKey } from './series.js';

/** What a model is worth, by the name of the measure; larger is better but for `loss`. The first one is charted. */
export type Metrics = Readonly<Record<string, number>>;

/** One pruning, measured. */
export interface SweepPoint extends SweepPlace {
  /** Epochs of training in all, those of ADMM among them. */
  readonly epochs: number;
  /** Weights that are not zero: in all prunable tensors together, and in each, in the order of the report's `layers`. */
  readonly kept: number;
  readonly layers: readonly number[];
  /** The magnitude below which weights were removed; null with scope `layer` and where something was trained. */
  readonly threshold: number | null;
  /** Null where nothing was measured. */
  readonly metrics: Metrics | null;
  /** Of work, over all sittings. */
  readonly seconds: number;
}

/** A prunable tensor of the dense model. */
export interface SweepLayer {
  readonly name: string;
  readonly shape: readonly number[];
  readonly weights: number;
  /** Weights that are not zero. */
  readonly kept: number;
}

/** One model, pruned at all ratios in all ways. */
export interface SweepReport {
  readonly model: string;
  /** Its architecture where its metadata say one, else the name of its file. */
  readonly name: string;
  /** Prunable weights. */
  readonly weights: number;
  /** Of the model as it is; null where nothing was measured. */
  readonly dense: { readonly metrics: Metrics | null };
  readonly layers: readonly SweepLayer[];
  /** In the order of series, then of ratios as asked. */
  readonly points: readonly SweepPoint[];
}

/** The measure to show: the first that the evaluator gave. */
export function mainMetric({ dense, points }: SweepReport): string | undefined {
  const [first] = [dense.metrics, ...points.map(({ metrics }) => metrics)].flatMap((each) => Object.keys(each ?? {}));
  return first;
}

/** The points of each series, in the order of the report. */
export function pointsBySeries(points: readonly SweepPoint[]): SweepPoint[][] {
  const lists = new Map<string, SweepPoint[]>();
  for (const point of points) {
    const key = seriesKey(point);
    lists.set(key, [...(lists.get(key) ?? []), point]);
  }
  return [...lists.values()];
}

/** The points of one series for each way to choose weights, which retraining does not change. */
export function pointsByChoice(points: readonly SweepPoint[]): SweepPoint[][] {
  const lists = new Map<string, SweepPoint[]>();
  for (const list of pointsBySeries(points)) {
    const key = `${list[0]?.method}-${list[0]?.scope}`;
    if (!lists.has(key)) lists.set(key, list);
  }
  return [...lists.values()];
}
