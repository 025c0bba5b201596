// Atoms and their classes. An atom is one index of one axis of one value, such as channel 3 of a feature map. Atoms that
// can only be removed together are one class. A pinned class is never removed.

/** Union-find over atoms, which are numbers from 0. */
export class Atoms {
  readonly #parents: number[] = [];
  readonly #pins = new Map<number, string>();

  /** Makes `count` atoms and returns the first. */
  add(count: number): number {
    const first = this.#parents.length;
    for (let index = 0; index < count; index++) this.#parents.push(first + index);
    return first;
  }

  /** The class of an atom: one of its members. */
  classOf(atom: number): number {
    const parents = this.#parents;
    let at = atom;
    for (;;) {
      const parent = parents[at] ?? at;
      if (parent === at) return at;
      const above = parents[parent] ?? parent;
      parents[at] = above;
      at = above;
    }
  }

  join(a: number, b: number): void {
    const [low, high] = [this.classOf(a), this.classOf(b)].sort((x, y) => x - y) as [number, number];
    if (low === high) return;
    this.#parents[high] = low;
    const pin = this.#pins.get(low) ?? this.#pins.get(high);
    if (pin !== undefined) this.#pins.set(low, pin);
  }

  /** The first reason that is given for a class stays. */
  pin(atom: number, reason: string): void {
    const root = this.classOf(atom);
    if (!this.#pins.has(root)) this.#pins.set(root, reason);
  }

  /** Why the atom's class cannot be removed; undefined where it is not pinned. */
  pinOf(atom: number): string | undefined {
    return this.#pins.get(this.classOf(atom));
  }
}
