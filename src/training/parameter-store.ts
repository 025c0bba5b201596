// The memory that training works on: parameters, gradients, momenta and ADMM state, owned by the addon and seen as
// typed arrays from any thread. Also what is done to all weights at once: projections, masks, averages.
import { invalidOption } from '../errors.js';
import { callNative, callNativeSync } from '../native/addon.js';
import type { Scope } from '../native/contract.js';
import type { NativeGrouping } from '../native/groups-contract.js';
import type {
  NativeAdmmState,
  NativeMaskResult,
  NativeMaskSource,
  NativeProjectResult,
  StoreHandle,
  StorePart,
  StoreSlot,
} from '../native/training-contract.js';
import { checkKeys, checkNumber } from '../options.js';

export interface ParameterOptions {
  name: string;
  /** Elements, >= 0. */
  size: number;
  /** Takes part in ADMM and in masks. @default false */
  prune?: boolean;
  /** Takes part in weight decay. @default the value of `prune`: biases and scales do not decay */
  decay?: boolean;
  /** Not pruned by itself, but its elements go with the channels that a grouping says. @default false */
  follow?: boolean;
}

/** What is kept. With a grouping, groups are, as many as the ratio lets go; n:m has its own ratio. */
export interface ProjectionOptions {
  /** Removal ratio in [0, 1): of the prunable weights exactly round(ratio * N) are zero in Z. */
  ratio: number;
  /** @default 'global' */
  scope?: Scope;
  /** Smallest fraction kept in each tensor, [0, 1]. @default 0 */
  minKeep?: number;
  /** The most threads; 0 means all cores. @default 0 */
  threads?: number;
}

/**
 * Parameters and all that belongs to them, one array a tensor and kind. Views are of the memory itself; after
 * `dispose` they have length 0.
 *
 * @example
 * const store = ParameterStore.create([{ name: 'fc.weight', size: 5000, prune: true }]);
 * const worker = new Worker(file, { workerData: { id: store.id } }); // there: ParameterStore.open(id)
 */
export class ParameterStore {
  /** The addon's own value, for the other files of training. */
  readonly handle: StoreHandle;

  private constructor(handle: StoreHandle) {
    this.handle = handle;
  }

  /** @throws SecateurError INVALID_OPTION */
  static create(tensors: readonly ParameterOptions[]): ParameterStore {
    if (!Array.isArray(tensors)) throw invalidOption('tensors', 'an array', tensors);
    const native = tensors.map((options: ParameterOptions) => {
      checkKeys('option', Object.keys(options), ['name', 'size', 'prune', 'decay', 'follow']);
      const { name, size, prune = false, decay = prune, follow = false } = options;
      checkNumber(`size of ${name}`, size, { least: 0, whole: true });
      return { name: String(name), size, prune, decay, follow };
    });
    return new ParameterStore(callNativeSync((addon) => addon.createStore(native)));
  }

  /**
   * A store made in another thread of this process; its maker must hold it until this returns.
   *
   * @throws SecateurError INVALID_OPTION when it is gone.
   */
  static open(id: number): ParameterStore {
    checkNumber('id', id, { least: 1, whole: true });
    return new ParameterStore(callNativeSync((addon) => addon.openStore(id)));
  }

  /** What another thread opens it by. */
  get id(): number {
    return callNativeSync((addon) => addon.storeId(this.handle));
  }

  /** The memory of one kind, one array a tensor, in order; zeros where nothing was written yet. */
  views(slot: StoreSlot): Float32Array<ArrayBuffer>[] {
    return callNativeSync((addon) => addon.storeViews(this.handle, slot));
  }

  /** Whether there is memory of that kind; asking for its views would make it. */
  has(part: StorePart): boolean {
    return callNativeSync((addon) => addon.storeHas(this.handle, part));
  }

  /** One byte a weight, 1 = keep; call `setMask('present')` after writing. Makes a mask of ones if there is none. */
  maskViews(): Uint8Array<ArrayBuffer>[] {
    return callNativeSync((addon) => addon.storeMaskViews(this.handle));
  }

  /** One byte a weight, 1 = in Z's support, after a projection by groups; what saves and restores it. */
  supportViews(): Uint8Array<ArrayBuffer>[] {
    return callNativeSync((addon) => addon.storeSupportViews(this.handle));
  }

  /**
   * From now on `project` and `setMaskByMagnitude` keep groups of weights: channels, blocks, or n of m.
   *
   * @param grouping Of the tensors with `prune` or `follow`, in order; undefined: single weights again.
   * @throws SecateurError INVALID_OPTION where it is of other tensors.
   */
  setGrouping(grouping: NativeGrouping | undefined): void {
    callNativeSync((addon) => addon.setStoreGrouping(this.handle, grouping));
  }

  /** Detaches this object's views and lets go of the memory, which goes when no thread holds it. */
  dispose(): void {
    callNativeSync((addon) => addon.disposeStore(this.handle));
  }

  /**
   * ADMM's Z-step and U-step: Z becomes the projection of W + U, and U gets W - Z.
   *
   * @throws SecateurError INVALID_OPTION; NONFINITE_WEIGHT with tensor and index, the state left as it was.
   */
  async project(options: ProjectionOptions): Promise<NativeProjectResult> {
    checkKeys('option', Object.keys(options), ['ratio', 'scope', 'minKeep', 'threads']);
    const { ratio, scope = 'global', minKeep = 0, threads = 0 } = options;
    checkNumber('ratio', ratio, { least: 0, below: 1 });
    checkNumber('minKeep', minKeep, { least: 0, most: 1 });
    checkNumber('threads', threads, { least: 0, most: 1024, whole: true });
    if (scope !== 'global' && scope !== 'layer') throw invalidOption('scope', '"global" or "layer"', scope);
    return await callNative((addon) => addon.admmProject(this.handle, { ratio, scope, minKeep, threads }));
  }

  /** With the slot `admm`, what continues ADMM after an interruption; undefined before the first projection. */
  get admmState(): NativeAdmmState | undefined {
    return callNativeSync((addon) => addon.admmState(this.handle));
  }

  set admmState(state: NativeAdmmState | undefined) {
    callNativeSync((addon) => addon.setAdmmState(this.handle, state));
  }

  /**
   * Freezes which weights stay, and zeroes the others with their momenta. Later steps keep them at zero.
   *
   * @throws SecateurError INVALID_OPTION for `support` before a projection.
   */
  setMask(by: NativeMaskSource): NativeMaskResult {
    return callNativeSync((addon) => addon.setMask(this.handle, by, 0));
  }

  /**
   * The same with the largest magnitudes of the parameters as they are, exactly.
   *
   * @throws SecateurError NONFINITE_WEIGHT
   */
  async setMaskByMagnitude(options: ProjectionOptions): Promise<NativeMaskResult> {
    const { ratio, scope = 'global', minKeep = 0, threads = 0 } = options;
    checkNumber('ratio', ratio, { least: 0, below: 1 });
    if (this.has('grouping')) {
      return await callNative((addon) => addon.setMaskByGroups(this.handle, { ratio, scope, minKeep, threads }));
    }
    const prunable = this.prunable();
    const tensors = this.views('parameters')
      .filter((_, t) => prunable[t])
      .map((data) => ({ data, dtype: 'float32' as const, factor: 1 }));
    const select = { ratios: [ratio], scope, minKeep, threads, allowNonfinite: false };
    const [selection] = await callNative((addon, control) => addon.select(tensors, select, control));
    if (selection === undefined) throw invalidOption('ratio', 'a number', ratio);
    return callNativeSync((addon) => addon.setMask(this.handle, selection.handle, threads));
  }

  /** Which tensors take part in ADMM and masks, in order. */
  prunable(): boolean[] {
    return callNativeSync((addon) => addon.storePrunable(this.handle));
  }

  /** Forgets the mask: zeros may grow again. */
  clearMask(): void {
    callNativeSync((addon) => addon.clearMask(this.handle));
  }

  /** Weights that are not zero though the mask removes them; anything but 0 is a mistake. */
  revivedWeights(): number {
    return callNativeSync((addon) => addon.revivedWeights(this.handle));
  }

  /** Moves the slot `average`: rate * average + (1 - rate) * parameters, the parameters themselves at first. */
  updateAverage(rate: number, threads = 0): void {
    checkNumber('rate', rate, { least: 0, below: 1 });
    callNativeSync((addon) => addon.updateAverage(this.handle, rate, threads));
  }
}
