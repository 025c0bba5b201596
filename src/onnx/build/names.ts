// Names of values and nodes, each used once in a graph. A wish that is taken gets the lowest free suffix `_1`, `_2`, ...
// so that the same calls give the same names in every run.
import { SecateurError } from '../../errors.js';
import type { GraphProto } from '../schema/onnx_pb.js';

/** The set of names taken in one graph. */
export class NameTable {
  readonly #taken = new Set<string>();
  readonly #nextSuffix = new Map<string, number>();

  /** Takes and returns `wish`, or `wish_1`, `wish_2`, ... if it is taken. */
  fresh(wish: string): string {
    let name = wish;
    let suffix = this.#nextSuffix.get(wish) ?? 1;
    while (this.#taken.has(name)) name = `${wish}_${suffix++}`;
    this.#nextSuffix.set(wish, suffix);
    this.#taken.add(name);
    return name;
  }

  /** Takes exactly `name`; INTERNAL if something has it already. */
  claim(name: string): string {
    if (this.#taken.has(name)) throw new SecateurError('INTERNAL', `Expected an unused name in the graph, got ${name}`);
    this.#taken.add(name);
    return name;
  }

  /** Takes every name of a graph and of the graphs inside its nodes, whose values may not shadow outer ones. */
  reserve(graph: GraphProto): void {
    for (const { name } of [...graph.input, ...graph.output, ...graph.initializer]) this.#taken.add(name);
    for (const sparse of graph.sparseInitializer) if (sparse.values) this.#taken.add(sparse.values.name);
    for (const node of graph.node) {
      this.#taken.add(node.name);
      for (const output of node.output) this.#taken.add(output);
      for (const { g, graphs } of node.attribute) {
        if (g) this.reserve(g);
        for (const inner of graphs) this.reserve(inner);
      }
    }
  }
}
