// Packs the chosen tensors into streams, one after the other, and puts what unpacks them at the head of their graphs.
import { callNative } from '../native/addon.js';
import type { NativePackedForm, NativePackingJob } from '../native/packing-contract.js';
import { NameTable } from '../onnx/build/names.js';
import type { GraphProto } from '../onnx/schema/onnx_pb.js';
import { nativeProgress } from '../prune/options.js';
import { type Choice, type Group, type Measured, type Pool, packedBytes } from './choose.js';
import { Emitter, ShortNames } from './emit.js';
import type { UnpackOptions } from './options.js';
import type { Output } from './output.js';
import { noteHeads } from './parse.js';
import type { Work } from './prepare.js';
import type { Outcome } from './report.js';
import { type PackTensor, takeOut } from './survey.js';

/** Rewrites the model; payloads go to the output. */
export async function packStreams(
  work: Work,
  choice: Choice,
  output: Output,
  options: UnpackOptions,
): Promise<Map<PackTensor, Outcome>> {
  const packer = new StreamPacker(work, output, options);
  for (const one of choice.zeros) packer.zeros(one);
  for (const group of choice.groups) await packer.group(group);
  await packer.finish();
  return packer.outcomes;
}

class StreamPacker {
  readonly outcomes = new Map<PackTensor, Outcome>();
  readonly #work: Work;
  readonly #output: Output;
  readonly #options: UnpackOptions;
  readonly #names: ShortNames;
  readonly #emitters = new Map<GraphProto, Emitter>();
  readonly #codebooks = new Map<Pool, Float32Array>();

  constructor(work: Work, output: Output, options: UnpackOptions) {
    this.#work = work;
    this.#output = output;
    this.#options = options;
    const taken = new NameTable();
    if (work.loaded.model.graph !== undefined) taken.reserve(work.loaded.model.graph);
    this.#names = new ShortNames(taken);
  }

  zeros(one: Measured): void {
    this.#emitter(one.tensor.graph).zeros(one);
    this.outcomes.set(one.tensor, { encoding: 'zeros', values: 'same', bytes: 0, error: { largest: 0, sum: 0 } });
  }

  async group(group: Group): Promise<void> {
    const { members, positions, form, pool } = group;
    const codebook = pool === undefined ? new Float32Array(0) : await this.#codebook(pool);
    const into: NativePackedForm = { positions, form, codebook };
    const stream = await this.#call((native, control) =>
      native.encodePacked(this.#job(members), into, this.#options.threads ?? 0, control),
    );
    const emitter = this.#emitter(group.graph);
    emitter.group(group, stream, pool && emitter.codebook(codebook));
    for (const [index, one] of members.entries()) {
      const bytes = packedBytes(one, positions, form);
      const error = stream.errors[index] ?? { largest: 0, sum: 0 };
      this.outcomes.set(one.tensor, { encoding: positions, values: form, bytes, error });
    }
    await this.#handOver(emitter);
  }

  /** Takes the dense tensors out of the graphs, and puts in what makes them. */
  async finish(): Promise<void> {
    const { heads, loaded } = this.#work;
    const counts = new Map(heads.map(({ graph, nodes }) => [graph, nodes]));
    takeOut(loaded.model, this.outcomes.keys());
    for (const emitter of this.#emitters.values()) {
      await this.#handOver(emitter);
      const { graph, nodes } = emitter;
      graph.node.unshift(...nodes);
      counts.set(graph, (counts.get(graph) ?? 0) + nodes.length);
    }
    noteHeads(loaded.model, counts);
  }

  /** Moves new initializers into the graph, and their payloads to the output, so that no more is in memory than must. */
  async #handOver(emitter: Emitter): Promise<void> {
    for (const tensor of emitter.initializers.splice(0)) {
      emitter.graph.initializer.push(tensor);
      if (tensor.rawData.byteLength > 0) await this.#output.put(tensor, tensor.rawData);
    }
  }

  async #codebook(pool: Pool): Promise<Float32Array> {
    const known = this.#codebooks.get(pool);
    if (known !== undefined) return known;
    const job = this.#job(pool.members);
    const codebook = await this.#call((native, control) =>
      native.makeCodebook(job, this.#options.threads ?? 0, control),
    );
    this.#codebooks.set(pool, codebook);
    return codebook;
  }

  #emitter(graph: GraphProto): Emitter {
    const known = this.#emitters.get(graph);
    if (known !== undefined) return known;
    const emitter = new Emitter(graph, this.#names);
    this.#emitters.set(graph, emitter);
    return emitter;
  }

  #job(members: readonly Measured[]): NativePackingJob {
    return { sources: this.#work.survey.sources, tensors: members.map(({ tensor }) => tensor.native) };
  }

  #call<T>(call: Parameters<typeof callNative<T>>[0]): Promise<T> {
    const { signal, onProgress } = this.#options;
    return callNative(call, { signal, progress: nativeProgress(onProgress) });
  }
}
