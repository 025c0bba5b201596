// Channels that can only be removed together: a union-find over numbered channels. Some sets never go, and say why.

/** Sets of channels. A channel is a number that `add` has given out. */
export class ChannelSets {
  readonly #parent: number[] = [];
  /** By root. */
  readonly #reasons = new Map<number, string>();

  /** New channels, each a set of its own. */
  add(count: number): Int32Array {
    const first = this.#parent.length;
    const channels = Int32Array.from({ length: count }, (_, index) => first + index);
    for (const channel of channels) this.#parent.push(channel);
    return channels;
  }

  rootOf(channel: number): number {
    let root = channel;
    while (this.#parent[root] !== root) root = this.#parent[root] ?? root;
    for (let at = channel; at !== root; ) {
      const next = this.#parent[at] ?? root;
      this.#parent[at] = root;
      at = next;
    }
    return root;
  }

  join(a: number, b: number): void {
    const [first, second] = [this.rootOf(a), this.rootOf(b)].toSorted((x, y) => x - y);
    if (first === undefined || second === undefined || first === second) return;
    this.#parent[second] = first;
    const reason = this.#reasons.get(second);
    if (reason !== undefined) this.#protect(first, reason);
  }

  /** Joins two lists of equal length, channel by channel. */
  joinAll(a: Int32Array, b: Int32Array): void {
    for (const [index, channel] of a.entries()) this.join(channel, b[index] ?? channel);
  }

  /** These channels, and all that are in their sets now or later, stay. The first reason counts. */
  protect(channels: Iterable<number>, reason: string): void {
    for (const channel of channels) this.#protect(this.rootOf(channel), reason);
  }

  /** Why a channel stays; undefined where it may go. */
  reasonOf(channel: number): string | undefined {
    return this.#reasons.get(this.rootOf(channel));
  }

  #protect(root: number, reason: string): void {
    if (!this.#reasons.has(root)) this.#reasons.set(root, reason);
  }
}
