// Loss and accuracy over a data set, whoever computes the batches.
import type { FeedTensor } from '../data/feeds.js';
import { Classification } from '../metrics/classification.js';
import { Mean } from '../metrics/mean.js';
import type { RuntimeTensor } from '../runtime/session.js';
import { type BatchSource, epochOf, type SourceBatch } from './batch-source.js';
import type { EvaluationResult } from './engine/plan.js';
import type { Evaluable } from './evaluable.js';

/** What a model is worth on some data. */
export interface Evaluation {
  /** `regression`: everything that has no classes. */
  readonly task: 'classification' | 'regression';
  readonly samples: number;
  /** Mean over the samples whose label counts. */
  readonly loss: number;
  /** Fraction of samples whose label ranks first, in [0, 1]; null without classes. */
  readonly accuracy: number | null;
}

export interface EvaluateOptions {
  /** Called after each batch. */
  onProgress?: ((batch: number, batches: number | undefined) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Evaluates one epoch of `source`, batch by batch, by `run`. */
export async function evaluateBatches(
  source: BatchSource,
  evaluable: Evaluable,
  run: (batch: SourceBatch, outputs: readonly string[]) => Promise<EvaluationResult>,
  onBatch: (batch: number) => void = () => undefined,
): Promise<Evaluation> {
  const { classes, output, target, ignoreIndex } = evaluable;
  const loss = new Mean();
  let samples = 0;
  const scores = classes === undefined ? undefined : new Classification(classes, ignoreOption(ignoreIndex));
  for await (const batch of epochOf(source, evaluable, 0)) {
    // The feeds' memory may be gone after the run.
    const labels = batch.feeds[target]?.data.slice();
    const result = await run(batch, scores === undefined ? [] : [output]);
    if (batch.counted > 0) loss.add(result.loss, batch.counted);
    samples += batch.samples;
    const logits = result.outputs[output] as (FeedTensor & { data: Float32Array }) | undefined;
    // A class a pixel has a loss, but no accuracy here.
    if (logits?.dims.length === 2) scores?.add(logits.data, labels as BigInt64Array);
    onBatch(batch.batch);
  }
  const task = scores === undefined ? 'regression' : 'classification';
  return {
    task,
    samples,
    loss: loss.value,
    accuracy: scores === undefined || scores.samples === 0 ? null : scores.accuracy,
  };
}

function ignoreOption(ignoreIndex: number | undefined): { ignoreIndex?: number } {
  return ignoreIndex === undefined ? {} : { ignoreIndex };
}

/** The loss and the wanted outputs of a run. */
export function readEvaluation(
  run: Readonly<Record<string, RuntimeTensor>>,
  loss: string,
  outputs: readonly string[],
): EvaluationResult {
  const results = outputs.flatMap((name): [string, FeedTensor][] => {
    const tensor = run[name];
    return tensor === undefined ? [] : [[name, { data: tensor.data as Float32Array, dims: [...tensor.dims] }]];
  });
  return { loss: Number(run[loss]?.data[0] ?? Number.NaN), outputs: Object.fromEntries(results) };
}
