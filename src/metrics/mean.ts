// Means over many batches, in float64, so that a mean over a million samples is as exact as one over ten.

/** A mean of values that each stand for a number of samples. */
export class Mean {
  #sum = 0;
  #weight = 0;

  /**
   * @param value the mean over a batch, such as its loss.
   * @param weight the samples that it stands for, 0 or more.
   */
  add(value: number, weight = 1): void {
    this.#sum += value * weight;
    this.#weight += weight;
  }

  /** The samples so far. */
  get weight(): number {
    return this.#weight;
  }

  /** The mean; NaN where there was nothing. */
  get value(): number {
    return this.#sum / this.#weight;
  }

  /** All that it is, as plain JSON. */
  get state(): { sum: number; weight: number } {
    return { sum: this.#sum, weight: this.#weight };
  }

  set state({ sum, weight }: { sum: number; weight: number }) {
    this.#sum = sum;
    this.#weight = weight;
  }
}
