// Tensors as the addon wants them: where each lies in which file, or the reason why it can't be addressed.
import type { NativeFileTensor, NativePruneJob } from '../native/contract.js';
import type { ExternalRange } from '../onnx/external.js';
import type { LoadedModel } from '../onnx/load.js';
import type { TensorProto } from '../onnx/schema/onnx_pb.js';
import type { ByteSource } from '../onnx/wire.js';
import { type Location, locate } from './locate.js';
import type { Prunable, Skipped } from './prunable.js';

type Sources = NativePruneJob['sources'];

export interface LocatedTensor {
  tensor: Prunable;
  native: NativeFileTensor;
}

export interface Located {
  tensors: LocatedTensor[];
  skipped: Skipped[];
}

/** Finds where tensors lie. */
export class Locator {
  readonly #loaded: LoadedModel;
  readonly #externals: ReadonlyMap<TensorProto, ExternalRange>;
  readonly #sources: Sources;
  readonly #source: ByteSource;

  constructor(
    loaded: LoadedModel,
    externals: ReadonlyMap<TensorProto, ExternalRange>,
    sources: Sources,
    source: ByteSource,
  ) {
    this.#loaded = loaded;
    this.#externals = externals;
    this.#sources = sources;
    this.#source = source;
  }

  /** The tensors that can be addressed, in order, and the reasons of the others. */
  all(prunable: readonly Prunable[], refused: ReadonlyMap<string, string>): Located {
    const located: Located = { tensors: [], skipped: [] };
    for (const tensor of prunable) {
      const native = refused.get(tensor.name) ?? this.one(tensor);
      if (typeof native === 'string') located.skipped.push({ name: tensor.name, reason: native });
      else located.tensors.push({ tensor, native });
    }
    return located;
  }

  /** Or the reason why it can't be addressed. */
  one(tensor: Prunable): NativeFileTensor | string {
    const record = this.#loaded.recordOf(tensor.tensor);
    const location = locate(tensor, record, this.#externals.get(tensor.tensor), this.#source);
    return typeof location === 'string' ? location : nativeTensor(tensor, location, this.#sources);
  }

  /** How many tensors have the same bytes of a data file. */
  sharers(tensor: TensorProto): number {
    const own = this.#externals.get(tensor);
    if (own === undefined) return 1;
    const { path, offset, bytes } = own;
    const same = [...this.#externals.values()].filter(
      (range) => range.path === path && range.offset === offset && range.bytes === bytes,
    );
    return same.length;
  }
}

function nativeTensor(
  { name, dtype, weights }: Prunable,
  { external, encoding, runs }: Location,
  sources: Sources,
): NativeFileTensor {
  const path = external?.path;
  const source = path === undefined ? 0 : sources.findIndex((candidate, index) => index > 0 && candidate.path === path);
  return { name, dtype, factor: 1, encoding, weights, runs: runs.map((run) => ({ source, ...run })) };
}
