// `compact`: writes a model without the channels that pruning has left dead. The outputs stay what they are, within the
// rounding of floats, and a dense runtime has less to do.
import { copyFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { SecateurError } from '../errors.js';
import { isExternal } from '../onnx/external.js';
import { type LoadedModel, readModel } from '../onnx/load.js';
import { PayloadFile } from '../onnx/payload.js';
import { saveModel } from '../onnx/save.js';
import type { TensorProto } from '../onnx/schema/onnx_pb.js';
import { Staging } from '../onnx/staging.js';
import { tensorsOf } from '../onnx/tensors.js';
import type { LazyBytes } from '../onnx/write.js';
import { checkKeys, checkNumber } from '../options.js';
import { checkFileOptions, checkFlag, checkObject, checkText } from '../prune/options.js';
import { type Analysis, analyse } from './analyse.js';
import { assemble } from './assemble.js';
import { type Comparison, compare } from './compare.js';
import { describe, type ModelSize } from './describe.js';
import { Edit } from './edit.js';
import { type CompactedLayer, type LeftChannels, layersOf } from './layers.js';

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

const keys = ['output', 'include', 'exclude', 'measure', 'batch', 'signal'] as const;

/**
 * Removes channels, neurons and branches that contribute nothing, exactly: what is constant is folded into what follows.
 * A model with nothing to remove is copied. The output appears under its name only after onnxruntime-node, if it is
 * installed, has loaded it.
 *
 * @throws SecateurError See `SecateurErrorCode`; where it is thrown, no file was changed.
 * @example
 * const { before, after } = await compact('pruned.onnx', { output: 'compact.onnx' });
 */
export async function compact(path: string, options: CompactOptions): Promise<CompactReport> {
  const started = performance.now();
  checkOptions(path, options);
  const { output, signal } = options;
  const before = describe(path);
  const loaded = readModel(path);
  const payloads = new PayloadFile(loaded);
  const staging = await Staging.beside(output);
  try {
    const analysis = analyse(loaded, payloads, options);
    // Assembling changes the graph, so the report is made first.
    const { layers, left } = layersOf(analysis.network, analysis.marks);
    const staged = await write(loaded, { analysis, payloads, staging, output, signal });
    const after = describe(staged);
    const seconds = (performance.now() - started) / 1000;
    const { measure = true, batch = 1 } = options;
    const comparison = await compare(path, staged, { measure, batch, signal });
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
  const { output, include, exclude, measure, batch, signal } = options;
  checkFileOptions(path, { include, exclude, signal });
  checkText('output', output);
  if (measure !== undefined) checkFlag('measure', measure);
  if (batch !== undefined) checkNumber('batch', batch, { least: 1, most: 65536, whole: true });
}

interface Work {
  analysis: Analysis;
  payloads: PayloadFile;
  staging: Staging;
  output: string;
  signal: AbortSignal | undefined;
}

/** Writes the compact model, or a copy where there is nothing to remove. */
async function write(loaded: LoadedModel, work: Work): Promise<string> {
  const { analysis, payloads, staging, output, signal } = work;
  const { graph } = loaded.model;
  let changed: ReadonlyMap<TensorProto, LazyBytes> = new Map();
  if (graph !== undefined && hasAnythingToRemove(analysis)) {
    const read = payloads.read.bind(payloads);
    changed = assemble(graph, { ...analysis, edit: new Edit(graph, analysis.marks), read });
  } else if (![...tensorsOf(loaded.model)].some(isExternal)) {
    const staged = staging.add(basename(output));
    await copyFile(loaded.path, staged);
    return staged;
  }
  if (signal?.aborted === true) throw new SecateurError('ABORTED', 'The call was aborted', { cause: signal.reason });
  return await saveModel(loaded, { changed, payloads, staging, output, signal });
}

/** Whether a channel of any value, or a node, is not needed. */
function hasAnythingToRemove({ network, marks }: Analysis): boolean {
  return network.nodes.some((node) => {
    if (!marks.isNodeLive(node)) return true;
    return node.outputs.some((value) => value?.atoms.some((_, axis) => marks.kept(value, axis) !== undefined));
  });
}
