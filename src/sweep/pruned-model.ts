// A model in memory that is pruned again and again from its dense weights, so that one-shot points need no files.

import type { DType } from '../native/contract.js';
import { materialize } from '../onnx/payload.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { applySelection, type Selection, type WeightArray, type WeightTensor } from '../prune/select.js';
import type { FileSelections } from '../prune/select-file.js';

export class PrunedModel {
  readonly #model: ModelProto;
  readonly #tensors: WeightTensor[];
  readonly #dense: WeightArray[];
  readonly #threads: number;

  /** Reads all weights. */
  constructor({ loaded, prunable }: FileSelections, threads: number) {
    materialize(loaded);
    this.#model = loaded.model;
    this.#threads = threads;
    this.#tensors = prunable.map(({ tensor, dtype }) => {
      // A copy lies at the beginning of a buffer of its own, as typed arrays need it.
      tensor.rawData = tensor.rawData.slice();
      return { data: weightsIn(tensor.rawData.buffer, dtype), dtype };
    });
    this.#dense = this.#tensors.map(({ data }) => data.slice());
  }

  /** The model as it is in its file. It is the same object at every call, and its weights change with the next. */
  dense(): ModelProto {
    for (const [index, { data }] of this.#tensors.entries()) data.set(this.#dense[index] ?? data);
    return this.#model;
  }

  /** The model without the weights that a selection takes; also the same object. */
  async pruned(selection: Selection): Promise<ModelProto> {
    const model = this.dense();
    await applySelection(selection, this.#tensors, { threads: this.#threads });
    return model;
  }
}

function weightsIn(buffer: ArrayBufferLike, dtype: DType): WeightArray {
  if (dtype === 'float32') return new Float32Array(buffer);
  return dtype === 'float64' ? new Float64Array(buffer) : new Uint16Array(buffer);
}
