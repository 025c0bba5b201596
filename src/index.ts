// The public surface of the package, on one screen.
export { isSecateurError, SecateurError, type SecateurErrorCode, type SecateurErrorFields } from './errors.js';
export type { Backend, DType, Scope } from './native/contract.js';
export type { Granularity } from './prune/granularity.js';
export { type InspectOptions, inspect } from './prune/inspect.js';
export type { Progress } from './prune/options.js';
export type { Skipped } from './prune/prunable.js';
export { type PruneOptions, prune } from './prune/prune.js';
export type { FollowingVector, InspectedTensor, InspectReport, PrunedTensor, PruneReport } from './prune/report.js';
export {
  applySelection,
  globalThreshold,
  packMasks,
  type Selection,
  type SelectOptions,
  selectRatios,
  type WeightArray,
  type WeightTensor,
} from './prune/select.js';
