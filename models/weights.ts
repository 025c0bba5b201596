// Initial weights from a seed. Each weight tensor is one stream of normal deviates: (seed, index of the layer in the
// order of building) decides every bit, whatever the machine or the number of threads. Knows no architectures.
import type { NativeAddon } from '../src/native/contract.js';
import type { ParameterSource, VectorKind } from './layers.js';

/** Fills an array with normal deviates of mean 0; the addon's `fillNormal`. */
export type FillNormal = NativeAddon['fillNormal'];

/** Makes the weight tensors of one model, one stream after the other. */
export class WeightSource implements ParameterSource {
  readonly #seed: number;
  readonly #fill: FillNormal;
  #stream = 0;

  constructor(seed: number, fill: FillNormal) {
    this.#seed = seed;
    this.#fill = fill;
  }

  /**
   * Weights of shape [outputs, ...inputs] from N(0, gain / fanIn), fanIn being the weights of one output.
   *
   * @param gain the factor that keeps the second moment through the activation that follows: 1 for none, 2 for ReLU
   * (He et al., 2015, "Delving deep into rectifiers", equations 10 and 15).
   */
  weights(shape: readonly number[], gain: number): Float32Array {
    const [outputs = 1, ...inputs] = shape;
    const fanIn = inputs.reduce((product, dim) => product * dim, 1);
    const weights = new Float32Array(outputs * fanIn);
    this.#fill(weights, { seed: this.#seed, stream: this.#stream++, std: Math.sqrt(gain / fanIn) });
    return weights;
  }

  vector(_kind: VectorKind, length: number, initial: number): Float32Array {
    return new Float32Array(length).fill(initial);
  }
}
