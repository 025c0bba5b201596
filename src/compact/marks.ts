// Which classes of atoms are needed, and why. Begins with the outputs of the graph and goes backward: a node that is
// needed marks what it reads. What is never marked can be removed.
import type { Network } from './network.js';
import type { Demands, NodeFacts } from './rule.js';
import { inputsOf } from './rules/opaque.js';
import { lengthOf, type Value } from './value.js';

/** The marks of one analysis. */
export class Marks implements Demands {
  readonly network: Network;
  readonly #reasons = new Map<number, string>();
  readonly #read = new Set<Value>();
  /** Read by nodes that can't do without at least one channel. */
  readonly #needed = new Set<Value>();
  readonly #carriers = new Map<Value, number>();
  #changes = 0;

  constructor(network: Network) {
    this.network = network;
    for (const value of network.outputs) {
      this.need(value);
      this.markAll(value, 'a channel of a graph output');
    }
    this.#settle();
  }

  /** The value is read, as far as channels of it are marked. */
  offer(value: Value): void {
    if (this.#read.has(value)) return;
    this.#read.add(value);
    this.#changes += 1;
  }

  /** The value is read by a node that needs at least one of its channels. */
  need(value: Value): void {
    this.offer(value);
    this.#needed.add(value);
  }

  mark(value: Value, axis: number, index: number, reason: string): void {
    const first = value.atoms[axis] ?? -1;
    if (first < 0) return;
    const root = this.network.atoms.classOf(first + index);
    if (this.#reasons.has(root)) return;
    this.#reasons.set(root, reason);
    this.#changes += 1;
  }

  markAxis(value: Value, axis: number, reason: string): void {
    for (let index = 0; index < lengthOf(value, axis); index++) this.mark(value, axis, index, reason);
  }

  markAll(value: Value, reason: string): void {
    for (const axis of value.atoms.keys()) this.markAxis(value, axis, reason);
  }

  /** Why a channel is needed; undefined where it is not. An axis that cannot shrink is needed. */
  reasonOf(value: Value, axis: number, index: number): string | undefined {
    const first = value.atoms[axis] ?? -1;
    if (first < 0) return 'an axis that cannot shrink';
    const { atoms } = this.network;
    return this.#reasons.get(atoms.classOf(first + index)) ?? atoms.pinOf(first + index);
  }

  isLive(value: Value, axis: number, index: number): boolean {
    return this.reasonOf(value, axis, index) !== undefined;
  }

  /** A constant channel that stays anyway, or the one with the largest number: factors are 1 at most then. */
  carrierOf(value: Value, axis: number): number {
    const chosen = this.#carriers.get(value);
    if (chosen !== undefined) return chosen;
    const sizes = [...(value.constants[axis] ?? [])].map((number) => (Number.isNaN(number) ? 0 : Math.abs(number)));
    const alive = sizes.findIndex((size, channel) => size > 0 && this.isLive(value, axis, channel));
    const carrier = alive >= 0 ? alive : sizes.indexOf(Math.max(...sizes));
    this.#carriers.set(value, carrier);
    return carrier;
  }

  /** The indices that stay, or undefined where all do. */
  kept(value: Value, axis: number): number[] | undefined {
    const length = lengthOf(value, axis);
    if ((value.atoms[axis] ?? -1) < 0) return undefined;
    const kept: number[] = [];
    for (let index = 0; index < length; index++) if (this.isLive(value, axis, index)) kept.push(index);
    return kept.length === length ? undefined : kept;
  }

  /** A value is there if it is read and every axis has something left. */
  isValueLive(value: Value): boolean {
    return this.#read.has(value) && value.atoms.every((_, axis) => this.#hasAny(value, axis));
  }

  isNodeLive(node: NodeFacts): boolean {
    return node.outputs.some((output) => output !== undefined && this.isValueLive(output));
  }

  #hasAny(value: Value, axis: number): boolean {
    if ((value.atoms[axis] ?? -1) < 0) return true;
    for (let index = 0; index < lengthOf(value, axis); index++) if (this.isLive(value, axis, index)) return true;
    return lengthOf(value, axis) === 0;
  }

  #settle(): void {
    const backward = this.network.nodes.toReversed();
    let before = -1;
    while (before !== this.#changes) {
      before = this.#changes;
      for (const node of backward) if (this.isNodeLive(node)) this.#demand(node);
      if (before === this.#changes) this.#keepOne();
    }
  }

  #demand(node: NodeFacts): void {
    if (node.rule.demand !== undefined) node.rule.demand(node, this);
    else for (const input of inputsOf(node)) this.need(input);
    for (const parameter of node.parameters)
      this.markAll(parameter, `a parameter of ${node.proto.opType} ${node.label}`);
  }

  /** A value that is needed and has nothing left keeps one channel: a constant one if there is one. */
  #keepOne(): void {
    for (const value of this.#needed) {
      for (const axis of value.atoms.keys()) {
        if (this.#hasAny(value, axis)) continue;
        const constant = value.constants[axis]?.findIndex((known) => !Number.isNaN(known)) ?? -1;
        this.mark(value, axis, Math.max(constant, 0), 'the last channel of a value that is read');
      }
    }
  }
}
