// From a loaded model to what can go: shapes, the network of values, and the marks of what is needed. Changes nothing.
import { create } from '@bufbuild/protobuf';
import { inferShapes, type ReadTensor } from '../onnx/infer/infer.js';
import { GraphProtoSchema, type ModelProto, type NodeProto } from '../onnx/schema/onnx_pb.js';
import { compilePatterns, type Pattern } from '../prune/patterns.js';
import type { NameFilters } from '../prune/prunable.js';
import type { Grouping } from './contraction.js';
import { Marks } from './marks.js';
import { Network } from './network.js';
import type { Value } from './value.js';

/** What is known of a model's channels. */
export interface Analysis {
  network: Network;
  marks: Marks;
}

/** Since this IR version an initializer that is an input too is only a default. */
const DEFAULTS_SINCE = 4n;

/** Finds out, as often as the graph has changed, which of its channels are needed. */
export class Analyst {
  readonly #model: ModelProto;
  readonly #read: ReadTensor;
  readonly #labels = new Map<NodeProto, string>();
  readonly #include: readonly Pattern[];
  readonly #exclude: readonly Pattern[];

  /**
   * @param filters names of weights: only `include`, if there are any, and not `exclude` may lose channels.
   * @throws SecateurError UNKNOWN_TENSOR where a pattern matches no initializer.
   */
  constructor(model: ModelProto, read: ReadTensor, filters: NameFilters) {
    this.#model = model;
    this.#read = read;
    const names = (model.graph?.initializer ?? []).map(({ name }) => name);
    this.#include = compilePatterns('include', filters.include ?? [], names);
    this.#exclude = compilePatterns('exclude', filters.exclude ?? [], names);
  }

  /** @throws SecateurError as the reading of tensors. */
  analyse(grouping: Grouping): Analysis {
    const graph = this.#model.graph ?? create(GraphProtoSchema);
    const inputs = new Set(graph.input.map(({ name }) => name));
    const defaults = this.#model.irVersion >= DEFAULTS_SINCE ? graph.initializer : [];
    const overridable = new Set(defaults.flatMap(({ name }) => (inputs.has(name) ? [name] : [])));
    const inferred = inferShapes(this.#model, this.#read);
    const network = new Network({ graph, inferred, overridable, labels: this.#labels, grouping, read: this.#read });
    for (const { contraction } of network.nodes) if (contraction !== undefined) this.#hold(contraction.w, network);
    return { network, marks: new Marks(network) };
  }

  #hold(weight: Value, network: Network): void {
    const reason = weight.data && held(weight.data.tensor.name, this.#include, this.#exclude);
    if (reason === undefined) return;
    for (const axis of weight.atoms.keys()) network.pinAxis(weight, axis, reason);
  }
}

/** Whether it makes a difference what goes together in grouped convolutions. */
export function hasGroups({ network }: Analysis): boolean {
  return network.nodes.some(({ contraction }) => (contraction?.groups ?? 1) > 1);
}

/** Whether a channel of any value, or a node, is not needed. */
export function hasAnythingToRemove({ network, marks }: Analysis): boolean {
  return network.nodes.some((node) => {
    if (!marks.isNodeLive(node)) return true;
    return node.outputs.some((value) => value?.atoms.some((_, axis) => marks.kept(value, axis) !== undefined));
  });
}

/** Why a weight may lose nothing. */
function held(name: string, include: readonly Pattern[], exclude: readonly Pattern[]): string | undefined {
  const excluded = exclude.find((pattern) => pattern.matches(name));
  if (excluded !== undefined) return `excluded by ${JSON.stringify(excluded.text)}`;
  return include.length === 0 || include.some((pattern) => pattern.matches(name)) ? undefined : 'not included';
}
