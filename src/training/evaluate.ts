// `evaluate`: what a model file is worth on some data, without a trainer.

import { toInferenceMode } from '../autodiff/inference-mode.js';
import { aborted } from '../errors.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { checkKeys } from '../options.js';
import { Session } from '../runtime/session.js';
import { type BatchSource, batchesPerEpoch, type SourceBatch } from './batch-source.js';
import type { EvaluationResult } from './engine/plan.js';
import { type LossChoice, withLoss } from './evaluable.js';
import { type EvaluateOptions, type Evaluation, evaluateBatches, readEvaluation } from './evaluation.js';
import { readWholeModel } from './model-file.js';

export interface EvaluateModelOptions extends LossChoice, EvaluateOptions {
  /** The most threads; 0 means all cores. @default 0 */
  threads?: number;
}

const KEYS = ['loss', 'lossOutput', 'inputShapes', 'onProgress', 'signal', 'threads'];

/**
 * Loss and, for classes, accuracy of a model over one epoch of a source.
 *
 * @param model an ONNX file, or a model in memory.
 * @throws SecateurError INVALID_MODEL, INVALID_DATA, INVALID_OPTION, NO_RUNTIME, RUNTIME, ABORTED.
 * @example
 * const { accuracy } = await evaluate('model.onnx', new Batches(await openDataset('mnist', 'test'), { shuffle: false }));
 */
export async function evaluate(
  model: string | ModelProto,
  source: BatchSource,
  options: EvaluateModelOptions = {},
): Promise<Evaluation> {
  checkKeys('option', Object.keys(options), KEYS);
  const { threads = 0, onProgress, signal } = options;
  const prepared = await withLoss(typeof model === 'string' ? readWholeModel(model) : model, options);
  const session = await Session.open(toInferenceMode(prepared.model), { threads });
  const { loss } = prepared.evaluable;
  const batches = batchesPerEpoch(source);
  try {
    return await evaluateBatches(
      source,
      prepared.evaluable,
      (batch, outputs) => runBatch(session, loss, batch, outputs),
      (batch) => {
        if (signal?.aborted) throw aborted(signal);
        onProgress?.(batch + 1, batches);
      },
    );
  } finally {
    await session.close();
  }
}

async function runBatch(
  session: Session,
  loss: string,
  { feeds }: SourceBatch,
  outputs: readonly string[],
): Promise<EvaluationResult> {
  const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [name, session.tensor(data, dims)] as const);
  const wanted = Object.fromEntries([loss, ...outputs].map((name) => [name, null]));
  return readEvaluation(await session.run(Object.fromEntries(tensors), wanted), loss, outputs);
}
