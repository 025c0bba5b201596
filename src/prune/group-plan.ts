// The part of a plan that depends on the granularity: the tensors that can be cut into groups, and the vectors that
// follow their channels, with their places in the files.
import type { NativeGroupedTensor, NativeGrouping } from '../native/groups-contract.js';
import { elementType } from '../onnx/dtypes.js';
import type { LoadedModel } from '../onnx/load.js';
import type { TensorProto } from '../onnx/schema/onnx_pb.js';
import { shapeOf } from '../onnx/shape.js';
import type { GranularityParts } from './granularity.js';
import { type FollowingTensor, groupTensors } from './grouping.js';
import type { LocatedTensor, Locator } from './locator.js';
import { compilePatterns } from './patterns.js';
import { isPrunableType, type NameFilters, type Prunable, type PrunableSet, type Skipped } from './prunable.js';

export interface GroupedPlan {
  tensors: LocatedTensor[];
  following: LocatedTensor[];
  /** Of `tensors`, then `following`. */
  grouping: NativeGrouping | undefined;
  skipped: Skipped[];
}

interface Given {
  loaded: LoadedModel;
  found: PrunableSet;
  filters: NameFilters;
  granularity: GranularityParts;
  located: LocatedTensor[];
  locator: Locator;
}

/** Groups what was located. */
export function groupPlan({ loaded, found, filters, granularity, located, locator }: Given): GroupedPlan {
  if (granularity.kind === 'weight') return { tensors: located, following: [], grouping: undefined, skipped: [] };
  const prunable = located.map(({ tensor }) => tensor);
  const { rule, keep, tensors, skipped, following } = groupTensors(loaded.model, prunable, granularity);
  const grouped: NativeGroupedTensor[] = [];
  const taken = located.filter(({ tensor }) => {
    const native = tensors.get(tensor.tensor);
    if (native !== undefined) grouped.push(native);
    return native !== undefined;
  });
  const follow = new Followers(found, filters, locator);
  const placed = following.flatMap((vector) => {
    const place = follow.place(vector);
    if (place !== undefined) grouped.push(vector.grouped);
    return place === undefined ? [] : [place];
  });
  const grouping = { rule, keep, tensors: grouped };
  return { tensors: taken, following: placed, grouping, skipped: [...skipped, ...follow.skipped] };
}

/** Places vectors, or says why they stay as they are. */
class Followers {
  readonly skipped: Skipped[] = [];
  readonly #names: ReadonlyMap<TensorProto, string>;
  readonly #locator: Locator;
  readonly #prunable: ReadonlySet<TensorProto>;
  readonly #excluded: (name: string) => boolean;

  constructor(found: PrunableSet, { exclude = [] }: NameFilters, locator: Locator) {
    this.#names = found.names;
    this.#locator = locator;
    this.#prunable = new Set(found.prunable.map(({ tensor }) => tensor));
    const patterns = compilePatterns('exclude', exclude, [...found.names.values()]);
    this.#excluded = (name) => patterns.some((pattern) => pattern.matches(name));
  }

  place(vector: FollowingTensor): LocatedTensor | undefined {
    const name = this.#names.get(vector.tensor) ?? vector.tensor.name;
    const located = this.#locate(vector, name);
    if (typeof located !== 'string') return located;
    this.skipped.push({ name, reason: `belongs to output channels, but stays: ${located}` });
    return undefined;
  }

  #locate({ tensor, stays }: FollowingTensor, name: string): LocatedTensor | string {
    const { name: dtype } = elementType(tensor.dataType);
    if (stays !== undefined) return stays;
    if (this.#excluded(name)) return 'it is excluded';
    if (this.#prunable.has(tensor)) return 'it is pruned itself';
    if (!isPrunableType(dtype)) return `its elements are of type ${dtype}`;
    if (this.#locator.sharers(tensor) > 1) return 'it shares its bytes with another tensor';
    const { dims, elements } = shapeOf(tensor, name);
    const found: Prunable = { name, shape: dims, dtype, op: 'none', weights: elements, tensor };
    const native = this.#locator.one(found);
    return typeof native === 'string' ? native : { tensor: found, native };
  }
}
