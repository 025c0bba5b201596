// From a model's path to the job for the addon: reads the graph, finds what is prunable, locates it, and lays out the
// output. Writes nothing and reads no weights.

import { SecateurError } from '../errors.js';
import type { NativeFileTensor, NativeOutput, NativePruneJob } from '../native/contract.js';
import { elementType, rawBytes } from '../onnx/dtypes.js';
import { ExternalFiles, type ExternalRange, isExternal } from '../onnx/external.js';
import { FileSource } from '../onnx/file-source.js';
import { type LoadedModel, loadFrom } from '../onnx/load.js';
import type { TensorProto } from '../onnx/schema/onnx_pb.js';
import { shapeOf } from '../onnx/shape.js';
import { tensorsOf } from '../onnx/tensors.js';
import { layOut } from './layout.js';
import { type Location, locate } from './locate.js';
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
}

/**
 * Plans the pruning of a model.
 *
 * @throws SecateurError IO, INVALID_MODEL, EXTERNAL_DATA, UNKNOWN_TENSOR, UNSUPPORTED.
 */
export function makePlan(path: string, filters: NameFilters): Plan {
  const source = new FileSource(path);
  try {
    const loaded = loadFrom(source);
    const found = findPrunable(loaded.model, filters);
    const externals = resolveExternals(loaded, found.names);
    const skipped = [...found.skipped];
    const prunable: Prunable[] = [];
    const locations: Location[] = [];
    const shared = findShared(sharedRanges(found, externals));
    for (const tensor of found.prunable) {
      const location =
        shared.get(tensor.name) ?? locate(tensor, loaded.recordOf(tensor.tensor), externals.get(tensor.tensor), source);
      if (typeof location === 'string') {
        skipped.push({ name: tensor.name, reason: location });
      } else {
        prunable.push(tensor);
        locations.push(location);
      }
    }
    const sources = sourcesOf(loaded, externals);
    const tensors = prunable.map((tensor, index) => nativeTensor(tensor, locations[index], sources));
    return { loaded, prunable, skipped, parameters: found.parameters, sources, tensors, externals };
  } finally {
    source.close();
  }
}

/** The files that pruning to `output` writes. */
export function planOutputs(plan: Plan, output: string): NativeOutput[] {
  return layOut({ model: plan.loaded.path, ...plan }, output);
}

function resolveExternals(
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

function sourcesOf(loaded: LoadedModel, externals: ReadonlyMap<TensorProto, ExternalRange>): NativePruneJob['sources'] {
  const sizes = new Map([...externals.values()].map(({ path, fileBytes }) => [path, fileBytes]));
  return [{ path: loaded.path, size: loaded.size }, ...[...sizes].map(([path, size]) => ({ path, size }))];
}

function nativeTensor(
  { name, dtype, weights }: Prunable,
  location: Location | undefined,
  sources: NativePruneJob['sources'],
): NativeFileTensor {
  const path = location?.external?.path;
  const source = path === undefined ? 0 : sources.findIndex((candidate, index) => index > 0 && candidate.path === path);
  const runs = (location?.runs ?? []).map((run) => ({ source, ...run }));
  return { name, dtype, factor: 1, encoding: location?.encoding ?? 'flat', weights, runs };
}
