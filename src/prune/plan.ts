// From a model's path to the job for the addon: reads the graph, finds what is prunable, locates it, and lays out the
// output. Writes nothing and reads no weights.

import { SecateurError } from '../errors.js';
import type { NativeFileTensor, NativeOutput, NativePruneJob } from '../native/contract.js';
import type { NativeGrouping } from '../native/groups-contract.js';
import { elementType, rawBytes } from '../onnx/dtypes.js';
import { ExternalFiles, type ExternalRange, isExternal } from '../onnx/external.js';
import { FileSource } from '../onnx/file-source.js';
import { type LoadedModel, loadFrom } from '../onnx/load.js';
import type { TensorProto } from '../onnx/schema/onnx_pb.js';
import { shapeOf } from '../onnx/shape.js';
import { tensorsOf } from '../onnx/tensors.js';
import type { GranularityParts } from './granularity.js';
import { groupPlan } from './group-plan.js';
import { layOut } from './layout.js';
import { type LocatedTensor, Locator } from './locator.js';
import { findPrunable, type NameFilters, type Prunable, type PrunableSet, type Skipped } from './prunable.js';
import { findShared, type SharedRange } from './shared-bytes.js';

/** What is prunable in a model and where it lies. */
export interface Plan {
  loaded: LoadedModel;
  prunable: Prunable[];
  skipped: Skipped[];
  /** Elements of all floating-point and quantised tensors of rank 1 or more. */
  parameters: number;
  /** The model, then its data files. */
  sources: NativePruneJob['sources'];
  /** One for each of `prunable`. */
  tensors: NativeFileTensor[];
  /** All tensors with external data, prunable or not. */
  externals: ReadonlyMap<TensorProto, ExternalRange>;
  /** How `tensors`, then `following`, are cut into groups; undefined where each weight goes by itself. */
  grouping: NativeGrouping | undefined;
  /** Vectors that become zero with their channels. */
  following: LocatedTensor[];
}

/**
 * Plans the pruning of a model.
 *
 * @throws SecateurError IO, INVALID_MODEL, EXTERNAL_DATA, UNKNOWN_TENSOR, UNSUPPORTED.
 */
export function makePlan(path: string, filters: NameFilters, granularity: GranularityParts = { kind: 'weight' }): Plan {
  const source = new FileSource(path);
  try {
    const loaded = loadFrom(source);
    const found = findPrunable(loaded.model, filters);
    const externals = resolveExternals(loaded, found.names);
    const sources = sourcesOf(loaded, externals);
    const locator = new Locator(loaded, externals, sources, source);
    const shared = findShared(sharedRanges(found, externals));
    const located = locator.all(found.prunable, shared);
    const grouped = groupPlan({ loaded, found, filters, granularity, located: located.tensors, locator });
    const skipped = [...found.skipped, ...located.skipped, ...grouped.skipped];
    const tensors = grouped.tensors.map(({ native }) => native);
    const prunable = grouped.tensors.map(({ tensor }) => tensor);
    const { grouping, following } = grouped;
    const { parameters } = found;
    return { loaded, prunable, skipped, parameters, sources, tensors, externals, grouping, following };
  } finally {
    source.close();
  }
}

/** The files that pruning to `output` writes. */
export function planOutputs(plan: Plan, output: string): NativeOutput[] {
  return layOut({ model: plan.loaded.path, ...plan }, output);
}

/** Where each tensor with external data has it. */
export function resolveExternals(
  loaded: LoadedModel,
  names: ReadonlyMap<TensorProto, string>,
): Map<TensorProto, ExternalRange> {
  const externals = new Map<TensorProto, ExternalRange>();
  let files: ExternalFiles | undefined;
  for (const tensor of tensorsOf(loaded.model)) {
    if (!isExternal(tensor)) continue;
    const name = names.get(tensor) ?? tensor.name;
    const { bits, name: type } = elementType(tensor.dataType);
    if (bits === 0) {
      const what = `Expected tensor ${name} to have elements that external data can hold, got ${type}`;
      throw new SecateurError('EXTERNAL_DATA', what, { tensor: name, path: loaded.path });
    }
    files ??= new ExternalFiles(loaded.path);
    externals.set(tensor, files.resolve(tensor, name, rawBytes(shapeOf(tensor, name).elements, bits)));
  }
  return externals;
}

function sharedRanges(found: PrunableSet, externals: ReadonlyMap<TensorProto, ExternalRange>): SharedRange[] {
  const prunable = new Set(found.prunable.map(({ tensor }) => tensor));
  return [...externals].map(([tensor, range]) => ({
    name: found.names.get(tensor) ?? tensor.name,
    prunable: prunable.has(tensor),
    range,
  }));
}

/** The model, then its data files. */
export function sourcesOf(
  loaded: LoadedModel,
  externals: ReadonlyMap<TensorProto, ExternalRange>,
): NativePruneJob['sources'] {
  const sizes = new Map([...externals.values()].map(({ path, fileBytes }) => [path, fileBytes]));
  return [{ path: loaded.path, size: loaded.size }, ...[...sizes].map(([path, size]) => ({ path, size }))];
}
