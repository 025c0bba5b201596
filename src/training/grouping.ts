// Pruning by groups while training: which parameters are cut into channels, blocks or n of m, and which vectors follow
// their channels. The geometry is the prune floor's business.
import type { NativeGrouping } from '../native/groups-contract.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { fixedRatio, type Granularity, parseGranularity } from '../prune/granularity.js';
import { groupTensors } from '../prune/grouping.js';
import { compilePatterns } from '../prune/patterns.js';
import type { Skipped } from '../prune/prunable.js';
import type { Parameter, TrainedParameter } from './parameters.js';

/** What goes as one while training. */
export interface ParameterGrouping extends Pick<NativeGrouping, 'rule' | 'keep'> {
  readonly granularity: Granularity;
  /** The ratio that n:m has of its own. */
  readonly ratio: number | undefined;
  /** Weights that have no place in it, and why. */
  readonly skipped: readonly Skipped[];
}

/**
 * Cuts the prunable parameters into groups. Those that have no place in it are trained, but not pruned.
 *
 * @param exclude Globs on names that do not follow either.
 * @throws SecateurError INVALID_OPTION; UNKNOWN_TENSOR where a glob matches nothing.
 */
export function groupParameters(
  model: ModelProto,
  parameters: readonly Parameter[],
  granularity: Granularity = 'weight',
  exclude: readonly string[] = [],
): { parameters: readonly Parameter[]; grouping: ParameterGrouping | undefined } {
  const parts = parseGranularity(granularity);
  if (parts.kind === 'weight') return { parameters, grouping: undefined };
  const prunable = parameters.filter(({ prune }) => prune);
  const { tensors, following, skipped, rule, keep } = groupTensors(model, prunable, parts);
  const names = (model.graph?.initializer ?? []).map(({ name }) => name);
  const patterns = compilePatterns('exclude', exclude, names);
  const free = following.filter(
    ({ tensor, stays }) => stays === undefined && !patterns.some((pattern) => pattern.matches(tensor.name)),
  );
  const followers = new Map(free.map(({ tensor, grouped }) => [tensor, grouped]));
  const grouped = parameters.map((parameter) => {
    const { tensor, prune, decay = prune } = parameter;
    const own = prune ? tensors.get(tensor) : followers.get(tensor);
    return { ...parameter, prune: prune && own !== undefined, decay, grouped: own };
  });
  const grouping = { granularity, rule, keep, ratio: fixedRatio(parts), skipped };
  return { parameters: grouped, grouping };
}

/** The grouping as a store takes it: of the parameters that are pruned or follow, in order. */
export function nativeGrouping(
  parameters: readonly TrainedParameter[],
  grouping: ParameterGrouping | undefined,
): NativeGrouping | undefined {
  if (grouping === undefined) return undefined;
  const { rule, keep } = grouping;
  return { rule, keep, tensors: parameters.flatMap(({ grouped }) => grouped ?? []) };
}
