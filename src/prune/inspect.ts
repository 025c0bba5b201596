// `inspect`: what is in a model, which weights are prunable, how sparse they are, and what is skipped and why.

import { callNative } from '../native/addon.js';
import { inferShapes } from '../onnx/infer/infer.js';
import { countMacs, densityOf, type MacTotals, totalMacs } from '../onnx/macs.js';
import { standardOpset } from '../onnx/opset.js';
import { PayloadFile } from '../onnx/payload.js';
import { checkKeys } from '../options.js';
import { checkFileOptions, checkObject, type FileOptions, fileKeys, nativeProgress } from './options.js';
import { makePlan, type Plan } from './plan.js';
import { type InspectReport, sparsityOf } from './report.js';

/** Options of `inspect`. */
export type InspectOptions = FileOptions;

/**
 * Lists the prunable weights of the model at `path`, with their zeros, and what is skipped.
 *
 * @throws SecateurError See `SecateurErrorCode`. A model without prunable weights is no error here.
 * @example
 * const { prunable, skipped } = await inspect('model.onnx');
 */
export async function inspect(path: string, options: InspectOptions = {}): Promise<InspectReport> {
  checkObject(options);
  checkKeys('option', Object.keys(options), fileKeys);
  checkFileOptions(path, options);
  const plan = makePlan(path, options);
  const zeros = plan.tensors.length === 0 ? [] : await countZeros(plan, options);
  const prunable = plan.prunable.map(({ name, shape, dtype, weights, op }, index) => {
    const count = zeros[index] ?? 0;
    return { name, shape, dtype, weights, zeros: count, sparsity: sparsityOf(count, weights), op };
  });
  const { model } = plan.loaded;
  const macs = macsOf(plan, zeros);
  return {
    model: path,
    opset: standardOpset(model) ?? null,
    parameters: plan.parameters,
    macs,
    prunable,
    skipped: plan.skipped,
  };
}

async function countZeros({ sources, tensors }: Plan, options: InspectOptions): Promise<number[]> {
  return await callNative((native, control) => native.countZeros({ sources, tensors }, options.threads ?? 0, control), {
    signal: options.signal,
    progress: nativeProgress(options.onProgress),
  });
}

/** Zeros of prunable weights are counted already; other weights are read. */
function macsOf({ loaded, prunable }: Plan, zeros: readonly number[]): MacTotals {
  const densities = new Map(
    prunable.map(({ tensor, weights }, index) => [tensor, 1 - sparsityOf(zeros[index] ?? 0, weights)]),
  );
  const payloads = new PayloadFile(loaded);
  try {
    const read = payloads.read.bind(payloads);
    const count = countMacs(loaded.model, inferShapes(loaded.model, read));
    return totalMacs(count, (weight) => densities.get(weight) ?? densityOf(weight.dataType, read(weight)));
  } finally {
    payloads.close();
  }
}
