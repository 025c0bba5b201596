// The part of the addon's contract that training uses: parameter stores, optimizer steps, ADMM projections and masks.
// Internal; src/training/optimizer.ts is the layer with defaults and checks. Definitions are in
// native/include/secateur/{parameter_store,optimizer,admm}.h.
import type { Scope, SelectionHandle } from './common-contract.js';
import type { NativeGrouping } from './groups-contract.js';

/** Opaque, type-tagged; of one thread of JavaScript's. */
export type StoreHandle = { readonly __secateur: 'store' };

/** Arrays of one float an element, all zeros at first. */
export type StoreSlot = 'parameters' | 'gradients' | 'firstMoment' | 'secondMoment' | 'admm' | 'average';

export interface NativeStoreTensor {
  /** For messages. */
  name: string;
  /** Elements. */
  size: number;
  /** Takes part in ADMM and in masks. */
  prune: boolean;
  /** Takes part in weight decay. */
  decay: boolean;
  /** Not pruned by itself, but under masks with the channels of others. */
  follow: boolean;
}

/** What may be there or not. `support`: of a projection by groups. */
export type StorePart = StoreSlot | 'mask' | 'support' | 'grouping';

export interface NativeStepOptions {
  kind: 'sgd' | 'adam';
  form: 'torch' | 'runtime';
  /** 1 is the first. */
  step: number;
  learningRate: number;
  gradientScale: number;
  /** 0: no clipping. */
  maxGradientNorm: number;
  measureNorm: boolean;
  l2: number;
  /** Decoupled weight decay. */
  decay: number;
  momentum: number;
  dampening: number;
  nesterov: boolean;
  beta1: number;
  beta2: number;
  epsilon: number;
  correctBias: boolean;
  /** 0: no ADMM pull. */
  rho: number;
  threads: number;
}

export interface NativeStepResult {
  /** NaN where it was not asked for. */
  gradientNorm: number;
  /** False: the norm to clip by is not finite, and nothing was changed. */
  applied: boolean;
}

export interface NativeProjectOptions {
  ratio: number;
  scope: Scope;
  minKeep: number;
  threads: number;
}

export interface NativeProjectResult {
  /** ||W - Z|| over all prunable tensors. */
  gap: number;
  /** ||Z - Z before||; before the first projection Z is zero. */
  moved: number;
  /** Weights that entered or left Z's support; before the first projection all are in it. */
  changed: number;
  /** Prunable weights. */
  weights: number;
  removed: number;
  removedByTensor: number[];
}

/** What, with the slot `admm` and the support if there is one, restores ADMM after an interruption. */
export interface NativeAdmmState {
  rho: number;
  dual: number;
  thresholds: { tieBegin: number; tieEnd: number; tieCut: number }[];
  /** The last projection was by groups: the support says what Z keeps, not the thresholds. @default false */
  bySupport?: boolean;
}

/** `support`: of ADMM's Z. `zeros`: the weights that are zero now. `present`: the mask as its views have it. */
export type NativeMaskSource = 'support' | 'zeros' | 'present';

export interface NativeMaskResult {
  /** Of each tensor; all of those that are never pruned. */
  kept: number[];
  /** Prunable weights that the mask before kept, too. */
  common: number;
}

/** Every call waits for others on the same store, from whichever thread. */
export interface NativeTraining {
  createStore(tensors: NativeStoreTensor[]): StoreHandle;
  /** The store of an id, in any thread, while some handle or view of it lives. */
  openStore(id: number): StoreHandle;
  storeId(store: StoreHandle): number;
  /** `prune` of each tensor. */
  storePrunable(store: StoreHandle): boolean[];
  /** Views of the memory itself, one a tensor; plain ArrayBuffers of which each thread has its own. */
  storeViews(store: StoreHandle, slot: StoreSlot): Float32Array<ArrayBuffer>[];
  /** One byte a weight, 1 = keep. Makes a mask of ones if there is none. */
  storeMaskViews(store: StoreHandle): Uint8Array<ArrayBuffer>[];
  /** One byte a weight, 1 = Z keeps it, after a projection by groups; else ones. */
  storeSupportViews(store: StoreHandle): Uint8Array<ArrayBuffer>[];
  storeHas(store: StoreHandle, part: StorePart): boolean;
  /** Of the tensors that are pruned or follow, in order; projections and `setMaskByGroups` go by it. None: weights. */
  setStoreGrouping(store: StoreHandle, grouping?: NativeGrouping): void;
  /** Detaches the views made from this handle; the memory goes with the last holder. */
  disposeStore(store: StoreHandle): void;
  optimizerStep(store: StoreHandle, options: NativeStepOptions): NativeStepResult;
  optimizerStepAsync(store: StoreHandle, options: NativeStepOptions): Promise<NativeStepResult>;
  /** average = rate * average + (1 - rate) * parameters; the first call copies. */
  updateAverage(store: StoreHandle, rate: number, threads: number): void;
  admmProject(store: StoreHandle, options: NativeProjectOptions): Promise<NativeProjectResult>;
  /** Undefined before the first projection. */
  admmState(store: StoreHandle): NativeAdmmState | undefined;
  /** Without a state: forgets V, Z and U. */
  setAdmmState(store: StoreHandle, state?: NativeAdmmState): void;
  /** Sets the mask and zeroes what it removes. A selection must be of the prunable tensors' parameters, in order. */
  setMask(store: StoreHandle, by: SelectionHandle | NativeMaskSource, threads: number): NativeMaskResult;
  /** What a selection of groups over the parameters keeps, with what follows them. */
  setMaskByGroups(store: StoreHandle, options: NativeProjectOptions): Promise<NativeMaskResult>;
  clearMask(store: StoreHandle): void;
  /** Weights that are not zero though the mask removes them. */
  revivedWeights(store: StoreHandle): number;
}
