// `compact`: writes a model without the channels that pruning has left dead. The outputs stay what they are, within the
// rounding of floats, and a dense runtime has less to do.
import { copyFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { aborted } from '../errors.js';
import { type LoadedModel, readModel } from '../onnx/load.js';
import { PayloadFile } from '../onnx/payload.js';
import { dataFilesOf, saveModel } from '../onnx/save.js';
import type { TensorProto } from '../onnx/schema/onnx_pb.js';
import { Staging } from '../onnx/staging.js';
import type { LazyBytes } from '../onnx/write.js';
import { checkKeys, checkNumber } from '../options.js';
import { checkFileOptions, checkFlag, checkObject, checkText } from '../prune/options.js';
import { Analyst, hasAnythingToRemove, hasGroups } from './analyse.js';
import { assemble } from './assemble.js';
import { type Comparison, compare } from './compare.js';
import { describe, type ModelSize } from './describe.js';
import { toleranceOf } from './difference.js';
import { Edit } from './edit.js';
import { type CompactedLayer, changedLayers, type LeftChannels, leftChannels, sizesOf } from './layers.js';

/** Options of `compact`. */
export interface CompactOptions {
  /** The .onnx file to write. May be the input. External data goes to `OUTPUT.data` beside it. */
  output: string;
  /** Globs on names of weights: if given, only layers with these may lose channels. @default all */
  include?: readonly string[] | undefined;
  /** Globs on names of weights whose layers lose no channels; stronger than `include`. @default [] */
  exclude?: readonly string[] | undefined;
  /** Time both models, if onnxruntime-node is there. @default true */
  measure?: boolean | undefined;
  /** Images a run when the models are compared and timed. @default 1 */
  batch?: number | undefined;
  /** Threads of the runtime when the models are timed; 0 means all cores. @default 0 */
  threads?: number | undefined;
  /** Ends the call early with a SecateurError ABORTED; no file is changed. */
  signal?: AbortSignal | undefined;
}

/** What `compact` did. */
export interface CompactReport {
  model: string;
  output: string;
  before: ModelSize;
  after: ModelSize;
  /** Layers that are smaller now. */
  layers: CompactedLayer[];
  /** Dead channels that stay, and why. */
  left: LeftChannels[];
  /** The output loaded in onnxruntime-node, and how it compares. Null where onnxruntime-node is not installed. */
  comparison: Comparison | null;
  /** Wall-clock time without the comparison. */
  seconds: number;
}

const keys = ['output', 'include', 'exclude', 'measure', 'batch', 'threads', 'signal'] as const;

/**
 * Removes channels, neurons and branches that contribute nothing, exactly: what is constant is folded into what follows.
 * A model with nothing to remove is copied. The output appears under its name only after onnxruntime-node, if it is
 * installed, has loaded it, and it has given the outputs of the input on random input, if that runs at all.
 *
 * @throws SecateurError See `SecateurErrorCode`; where it is thrown, no file was changed.
 * @example
 * const { before, after } = await compact('pruned.onnx', { output: 'compact.onnx' });
 */
export async function compact(path: string, options: CompactOptions): Promise<CompactReport> {
  const started = performance.now();
  checkOptions(path, options);
  const { output, signal, measure = true, batch = 1, threads = 0 } = options;
  const before = describe(path);
  const loaded = readModel(path);
  const payloads = new PayloadFile(loaded);
  const dataFiles = dataFilesOf(loaded);
  const tolerance = toleranceOf(loaded.model);
  const staging = await Staging.beside(output);
  try {
    const { changed, layers, left } = removeDead(loaded, payloads, options);
    const staged = await write(loaded, { changed, payloads, dataFiles, staging, output, signal });
    const after = describe(staged);
    const seconds = (performance.now() - started) / 1000;
    const comparison = await compare(path, staged, { measure, batch, threads, tolerance, signal });
    await staging.commit();
    return { model: path, output, before, after, layers, left, comparison, seconds };
  } finally {
    payloads.close();
    await staging.discard();
  }
}

function checkOptions(path: unknown, options: CompactOptions): void {
  checkObject(options);
  checkKeys('option', Object.keys(options), keys);
  const { output, include, exclude, measure, batch, threads, signal } = options;
  checkFileOptions(path, { include, exclude, threads, signal });
  checkText('output', output);
  if (measure !== undefined) checkFlag('measure', measure);
  if (batch !== undefined) checkNumber('batch', batch, { least: 1, most: 65536, whole: true });
}

interface Removal {
  /** Where the bytes of new and smaller tensors come from; undefined where nothing was removed. */
  changed: ReadonlyMap<TensorProto, LazyBytes> | undefined;
  layers: CompactedLayer[];
  left: LeftChannels[];
}

/** Changes the graph until there is nothing more to remove: what is left of a branch may be constant altogether. */
function removeDead({ model }: LoadedModel, payloads: PayloadFile, options: CompactOptions): Removal {
  const changed = new Map<TensorProto, LazyBytes>();
  const read = (tensor: TensorProto): Uint8Array => changed.get(tensor)?.read() ?? payloads.read(tensor);
  const analyst = new Analyst(model, read, options);
  let analysis = analyst.analyse('whole');
  const before = sizesOf(analysis.network);
  let removed = false;
  for (;;) {
    throwIfAborted(options.signal);
    const { grouping } = analysis.network;
    if (model.graph !== undefined && hasAnythingToRemove(analysis)) {
      removed = true;
      const edit = new Edit(model.graph, analysis.marks);
      for (const [tensor, bytes] of assemble(model.graph, { ...analysis, edit, read })) changed.set(tensor, bytes);
      analysis = analyst.analyse('whole');
    } else if (grouping === 'whole' && hasGroups(analysis)) {
      analysis = analyst.analyse('across');
    } else {
      break;
    }
  }
  const layers = changedLayers(before, sizesOf(analysis.network));
  return { changed: removed ? changed : undefined, layers, left: leftChannels(analysis) };
}

interface Work extends Pick<Removal, 'changed'> {
  payloads: PayloadFile;
  dataFiles: ReadonlyMap<string, number>;
  staging: Staging;
  output: string;
  signal: AbortSignal | undefined;
}

/** Writes the compact model, or a copy where nothing was removed. */
async function write(loaded: LoadedModel, { changed, ...work }: Work): Promise<string> {
  throwIfAborted(work.signal);
  const copies = changed === undefined && work.dataFiles.size === 0;
  if (!copies) return await saveModel(loaded, { changed: changed ?? new Map(), ...work });
  const staged = work.staging.add(basename(work.output));
  await copyFile(loaded.path, staged);
  return staged;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}
