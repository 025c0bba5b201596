// Mean and variance of channels over many batches, from those of each batch.

export class Moments {
  readonly mean: Float64Array;
  readonly #squares: Float64Array;
  #weight = 0;

  constructor(channels: number) {
    this.mean = new Float64Array(channels);
    this.#squares = new Float64Array(channels);
  }

  /** Of all elements together, divided by their number. */
  get variance(): Float64Array {
    return this.#squares.map((square) => square / this.#weight);
  }

  /**
   * Adds a batch of `weight` samples. Squared deviations of two sets add up to those of their union with the distance of
   * the means (Chan, Golub and LeVeque, 1983), which loses no digits where means are large.
   */
  add(mean: ArrayLike<number>, variance: ArrayLike<number>, weight: number): void {
    const total = this.#weight + weight;
    for (let channel = 0; channel < this.mean.length; channel++) {
      const before = this.mean[channel] ?? 0;
      const distance = (mean[channel] ?? 0) - before;
      this.mean[channel] = before + (distance * weight) / total;
      const between = (distance * distance * this.#weight * weight) / total;
      this.#squares[channel] = (this.#squares[channel] ?? 0) + (variance[channel] ?? 0) * weight + between;
    }
    this.#weight = total;
  }
}
