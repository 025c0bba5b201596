// What packing, unpacking and estimating begin with: the model, its tensors with their sizes, and what is packed in it
// already.
import { throwIfAborted } from '../errors.js';
import { callNative } from '../native/addon.js';
import { isExternal } from '../onnx/external.js';
import { FileSource } from '../onnx/file-source.js';
import { type LoadedModel, loadFrom } from '../onnx/load.js';
import { materialize, readTensor } from '../onnx/payload.js';
import { TensorProto_DataType as DataType } from '../onnx/schema/onnx_pb.js';
import { tensorsOf } from '../onnx/tensors.js';
import { type FileOptions, nativeProgress } from '../prune/options.js';
import { resolveExternals, sourcesOf } from '../prune/plan.js';
import type { Measured } from './choose.js';
import type { Output } from './output.js';
import { findPacked, type Head } from './parse.js';
import { type Survey, survey } from './survey.js';

/** A model that is worked on. Its weights are still in its files. */
export interface Work {
  loaded: LoadedModel;
  survey: Survey;
  measured: Measured[];
  /** One for each graph; none in a model that is not packed. */
  heads: Head[];
  /** Of the model and its external data. */
  bytes: number;
}

/** @throws SecateurError IO, INVALID_MODEL, EXTERNAL_DATA, UNSUPPORTED, FILE_CHANGED. */
export async function prepare(
  path: string,
  { threads = 0, signal, onProgress }: Pick<FileOptions, 'threads' | 'signal' | 'onProgress'>,
): Promise<Work> {
  const source = new FileSource(path);
  try {
    const loaded = loadFrom(source);
    const heads = findPacked(loaded.model) ?? [];
    const found = survey(loaded, source, new Set(heads.flatMap(({ initializers }) => [...initializers])));
    for (const { value } of heads.flatMap(({ streams }) => streams.flatMap(({ parts }) => parts))) {
      found.skipped.push({ name: value, reason: 'packed already' });
    }
    const job = { sources: found.sources, tensors: found.tensors.map(({ native }) => native) };
    const sizes = await callNative((native, control) => native.measurePacking(job, threads, control), {
      signal,
      progress: nativeProgress(onProgress),
    });
    const measured = found.tensors.flatMap((tensor, index) => {
      const size = sizes[index];
      return size === undefined ? [] : [{ tensor, sizes: size }];
    });
    const bytes = found.sources.reduce((sum, { size }) => sum + size, 0);
    return { loaded, survey: found, measured, heads, bytes };
  } finally {
    source.close();
  }
}

/** The model's file and those of its external data. */
export function filesOf(loaded: LoadedModel): { path: string; size: number }[] {
  return sourcesOf(loaded, resolveExternals(loaded, new Map()));
}

/**
 * Moves the payloads that are still in the model's files to the output.
 *
 * @throws SecateurError ABORTED.
 */
export async function moveRest(loaded: LoadedModel, output: Output, signal?: AbortSignal): Promise<void> {
  for (const tensor of [...tensorsOf(loaded.model)]) {
    throwIfAborted(signal);
    const record = loaded.recordOf(tensor);
    const elsewhere = isExternal(tensor) && record !== undefined;
    const elided = [...(record?.payloads.values() ?? [])].some((payload) => payload.elided);
    if (elided && tensor.dataType === DataType.STRING) materialize(loaded, [tensor]);
    else if (elsewhere || elided) await output.put(tensor, readTensor(loaded, tensor));
  }
}
