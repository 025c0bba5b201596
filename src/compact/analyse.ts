// From a loaded model to what can go: shapes, the network of values, and the marks of what is needed. Changes nothing.
import { inferShapes } from '../onnx/infer/infer.js';
import { type LoadedModel } from '../onnx/load.js';
import type { PayloadFile } from '../onnx/payload.js';
import { GraphProtoSchema } from '../onnx/schema/onnx_pb.js';
import { create } from '@bufbuild/protobuf';
import { compilePatterns, type Pattern } from '../prune/patterns.js';
import type { NameFilters } from '../prune/prunable.js';
import { Marks } from './marks.js';
import { Network } from './network.js';

/** What is known of a model's channels. */
export interface Analysis {
  network: Network;
  marks: Marks;
}

/** Since this IR version an initializer that is an input too is only a default. */
const DEFAULTS_SINCE = 4n;

/**
 * Finds out which channels are needed.
 *
 * @param filters names of weights: only `include`, if there are any, and not `exclude` may lose channels.
 * @throws SecateurError UNKNOWN_TENSOR where a pattern matches no initializer; as the reading of payloads.
 */
export function analyse({ model }: LoadedModel, payloads: PayloadFile, filters: NameFilters): Analysis {
  const graph = model.graph ?? create(GraphProtoSchema);
  const read = payloads.read.bind(payloads);
  const inputs = new Set(graph.input.map(({ name }) => name));
  const overridable = new Set(
    graph.initializer.flatMap(({ name }) => (model.irVersion >= DEFAULTS_SINCE && inputs.has(name) ? [name] : [])),
  );
  const names = graph.initializer.map(({ name }) => name);
  const include = compilePatterns('include', filters.include ?? [], names);
  const exclude = compilePatterns('exclude', filters.exclude ?? [], names);
  const inferred = inferShapes(model, read);
  const network = new Network({ graph, inferred, overridable, read });
  for (const { contraction } of network.nodes) {
    if (contraction?.w.data === undefined) continue;
    const reason = held(contraction.w.data.tensor.name, include, exclude);
    if (reason === undefined) continue;
    for (const axis of contraction.w.atoms.keys()) network.pinAxis(contraction.w, axis, reason);
  }
  return { network, marks: new Marks(network) };
}

/** Why a weight may lose nothing. */
function held(name: string, include: readonly Pattern[], exclude: readonly Pattern[]): string | undefined {
  const excluded = exclude.find((pattern) => pattern.matches(name));
  if (excluded !== undefined) return `excluded by ${JSON.stringify(excluded.text)}`;
  return include.length === 0 || include.some((pattern) => pattern.matches(name)) ? undefined : 'not included';
}
