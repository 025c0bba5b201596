// Reproducible random numbers: xoshiro128** (period 2^128 - 1) on 32-bit integers, seeded through splitmix32 steps. Only
// integer operations decide the bits, so a seed gives the same sequence on every machine. Not for secrets.

const TO_UNIT = 2 ** -32;

/** Mixes 32 bits so that neighbouring inputs share none of their pattern. */
function mix(value: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}

/** A stream of random numbers. */
export class Random {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;

  /**
   * @param keys whole numbers that name the stream, such as a seed, an epoch and a batch. Different lists give unrelated
   *   streams; up to 53 bits of each count.
   */
  constructor(...keys: number[]) {
    this.reseed(...keys);
  }

  /** Begins another stream without a new object. */
  reseed(...keys: number[]): void {
    let state = 0x9e3779b9;
    for (const key of keys) {
      state = mix((state ^ key) + 0x9e3779b9);
      state = mix((state ^ Math.floor(key * TO_UNIT)) + 0x85ebca6b);
    }
    this.#a = mix(state + 0x9e3779b9);
    this.#b = mix(this.#a + 0x9e3779b9);
    this.#c = mix(this.#b + 0x9e3779b9);
    // All four zero would be the one state that never leaves itself.
    this.#d = mix(this.#c + 0x9e3779b9) | 1;
  }

  /** 32 random bits, as an unsigned integer. */
  bits(): number {
    const scrambled = Math.imul(this.#b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** In `[0, 1)`, in steps of 2^-32. */
  uniform(): number {
    return this.bits() * TO_UNIT;
  }

  /** In `[low, high)`. */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** A whole number in `[0, count)`, for `count` up to 2^32. The bias is below `count / 2^32`. */
  below(count: number): number {
    return Math.floor(this.bits() * TO_UNIT * count);
  }
}

/** The numbers `0 ... count - 1` in random order (Fisher-Yates). */
export function permutation(count: number, random: Random): Uint32Array {
  const order = new Uint32Array(count);
  for (let index = 0; index < count; index++) {
    const other = random.below(index + 1);
    order[index] = order[other] ?? 0;
    order[other] = index;
  }
  return order;
}
