// What a run writes down while it goes: plain JSON, kept in checkpoints, and the source of every report.

/** What a measurement of the caller's own found, by name, such as `ap50`; null where there is nothing to say. */
export type Metrics = Readonly<Record<string, number | null>>;

/** An epoch of training. */
export interface EpochRecord {
  readonly phase: string;
  /** Of the run, from 0. */
  readonly epoch: number;
  /** Mean over its samples. */
  readonly loss: number;
  /** On the data to measure with; null without classes or data. */
  readonly accuracy: number | null;
  /** Where the run has a measurement, after the epochs that it is for. */
  readonly metrics?: Metrics;
}

/** A projection of ADMM, and the epochs before it. */
export interface IterationRecord {
  readonly phase: string;
  readonly iteration: number;
  readonly rho: number;
  readonly ratio: number;
  /** Mean loss of the epochs since the projection before; null before the first. */
  readonly loss: number | null;
  /** ||W - Z||, and ||Z - Z before||. */
  readonly gap: number;
  readonly moved: number;
  /** Fraction of the prunable weights that entered or left Z's support. */
  readonly supportChanged: number;
  /** Of the weights W, or of their moving average where one is kept, which are not pruned yet. */
  readonly accuracy: number | null;
}

/** A hard pruning. */
export interface PruningRecord {
  readonly phase: string;
  readonly ratio: number;
  readonly removed: number;
  readonly weights: number;
  /** Of the weights kept, the fraction that a pruning by magnitude would have kept too; null for magnitude itself. */
  readonly overlap: number | null;
  /** Right after the pruning, before any retraining. */
  readonly accuracy: number | null;
  /** Where the run has a measurement. */
  readonly metrics?: Metrics;
}

export interface RunRecord {
  epochs: EpochRecord[];
  iterations: IterationRecord[];
  prunings: PruningRecord[];
  /** Seconds of work, over all sittings. */
  seconds: number;
}

export function emptyRecord(): RunRecord {
  return { epochs: [], iterations: [], prunings: [], seconds: 0 };
}
