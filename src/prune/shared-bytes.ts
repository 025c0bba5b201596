// Tensors that share bytes of a data file. To prune one is to prune the other, so of several prunable ones the first
// is taken, and one that shares with a tensor that is not pruned is left alone.

import { SecateurError } from '../errors.js';
import type { ExternalRange } from '../onnx/external.js';

/** A tensor's place in a data file. */
export interface SharedRange {
  name: string;
  prunable: boolean;
  range: ExternalRange;
}

/**
 * The reasons, by name, why prunable tensors cannot be pruned. `ranges` are in the order of the file.
 *
 * @throws SecateurError INVALID_MODEL where a prunable tensor shares some of its bytes, but not all, with another.
 */
export function findShared(ranges: readonly SharedRange[]): Map<string, string> {
  const groups = new Map<string, SharedRange[]>();
  for (const tensor of ranges) {
    const { path, offset, bytes } = tensor.range;
    if (bytes === 0) continue;
    const key = JSON.stringify([path, offset, bytes]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [tensor]);
    else group.push(tensor);
  }
  const reasons = new Map<string, string>();
  for (const members of groups.values()) {
    const other = members.find(({ prunable }) => !prunable) ?? members[0];
    for (const { name, prunable } of members) {
      if (prunable && other !== undefined && name !== other.name) reasons.set(name, describe(other));
    }
  }
  refusePartialOverlaps([...groups.values()]);
  return reasons;
}

function describe({ name, prunable }: SharedRange): string {
  return `shares its bytes with ${name}${prunable ? '' : ', which is not pruned'}`;
}

function refusePartialOverlaps(groups: SharedRange[][]): void {
  const places = groups.flatMap((members) => {
    const [first] = members;
    return first === undefined ? [] : [{ ...first, prunable: members.some(({ prunable }) => prunable) }];
  });
  places.sort((a, b) => comparePaths(a, b) || a.range.offset - b.range.offset);
  let widest: SharedRange | undefined;
  for (const place of places) {
    const sameFile = widest?.range.path === place.range.path;
    const end = widest === undefined || !sameFile ? 0 : widest.range.offset + widest.range.bytes;
    if (widest !== undefined && place.range.offset < end && (place.prunable || widest.prunable)) {
      throw new SecateurError(
        'INVALID_MODEL',
        `Expected tensor ${place.name} to have bytes of its own, but it overlaps ${widest.name} in ${place.range.location}`,
        { tensor: place.name, path: place.range.path },
      );
    }
    if (place.range.offset + place.range.bytes > end) widest = place;
  }
}

function comparePaths(a: SharedRange, b: SharedRange): number {
  if (a.range.path === b.range.path) return 0;
  return a.range.path < b.range.path ? -1 : 1;
}
