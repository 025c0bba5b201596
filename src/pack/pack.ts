// `pack`: rewrites the tensors of a model as short streams, or as ONNX's sparse tensors, and writes it. What is smallest
// is chosen tensor by tensor; the bytes are found and written by the addon.
import { choose, saved } from './choose.js';
import { opsetProblem } from './opset.js';
import { checkPackOptions, type PackOptions } from './options.js';
import { INLINE_BYTES, Output } from './output.js';
import { moveRest, prepare } from './prepare.js';
import { type Outcome, type PackReport, reportTensors } from './report.js';
import { packSparse, savedSparse } from './sparse.js';
import { packStreams } from './streams.js';
import type { PackTensor } from './survey.js';

/**
 * Packs the model at `path`, where packing makes it smaller, and writes it to `output`. With the format `packed` it
 * unpacks itself when a runtime loads it, by standard operators; docs/pack.md has the format. The output appears only
 * when it is complete and, where onnxruntime-node is installed, has been loaded there.
 *
 * @throws SecateurError UNSUPPORTED below opset 13; RUNTIME where the packed model does not load; see
 *   `SecateurErrorCode` for the others.
 * @example
 * const { bytes } = await pack('pruned.onnx', { output: 'small.onnx', values: 'f16' });
 */
export async function pack(path: string, options: PackOptions): Promise<PackReport> {
  checkPackOptions(path, options);
  return await packWithin(path, options, INLINE_BYTES);
}

/** `pack`, with the size from which a model has a data file of its own. */
export async function packWithin(path: string, options: PackOptions, inlineBytes: number): Promise<PackReport> {
  const started = performance.now();
  const work = await prepare(path, options);
  const { format = 'packed', values = 'f32' } = options;
  const problem = format === 'packed' ? opsetProblem(work.loaded) : undefined;
  if (problem !== undefined) throw problem;
  const choice = choose(work.measured, values);
  const less = format === 'packed' ? saved(choice) : savedSparse(work.measured);
  const external = work.bytes - less > inlineBytes;
  const output = new Output(options.output, { external, sources: work.survey.sources });
  try {
    const outcomes: Map<PackTensor, Outcome> =
      format === 'packed' ? await packStreams(work, choice, output, options) : await packSparse(work, options);
    await moveRest(work.loaded, output, options.signal);
    const { bytes, loadSeconds } = await output.commit(work.loaded.model);
    return {
      model: path,
      output: options.output,
      format,
      values,
      bytes: { before: work.bytes, after: bytes },
      tensors: reportTensors(work.measured, outcomes),
      skipped: work.survey.skipped,
      loadSeconds,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await output.close();
  }
}
