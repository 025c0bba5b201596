// Weights on a GPU: uploaded once, selected from and masked there any number of times. Answers have the CPU's bits.
import { SecateurError } from '../errors.js';
import { callNative, callNativeSync } from '../native/addon.js';
import { chooseDevice } from '../native/device.js';
import type { DeviceHandle } from '../native/device-contract.js';
import {
  nativeSelectOptions,
  type Selection,
  type SelectOptions,
  type Tensors,
  toNative,
  toSelections,
} from './select.js';

/**
 * Tensors in a GPU's memory. Calls may overlap; they run one after another, on other threads.
 *
 * @example
 * using weights = await DeviceTensors.upload([w1, w2]);
 * const [selection] = await weights.selectRatios({ ratios: [0.9] });
 * await weights.apply(selection);
 * await weights.download([w1, w2]);
 */
export class DeviceTensors {
  readonly #handle: DeviceHandle;

  private constructor(handle: DeviceHandle) {
    this.#handle = handle;
  }

  /**
   * @param tensors As for `selectRatios`, but not of float64. They may change once the promise has settled.
   * @throws SecateurError CUDA where there is no GPU, or not enough memory on it; INVALID_OPTION, ABORTED.
   */
  static async upload(tensors: Tensors, options: { signal?: AbortSignal } = {}): Promise<DeviceTensors> {
    const native = toNative(tensors);
    const wide = native.findIndex(({ dtype }) => dtype === 'float64');
    const library = chooseDevice('cuda', wide < 0 ? undefined : `tensors[${wide}] is float64`);
    if (library === undefined) throw new SecateurError('INTERNAL', 'Expected a CUDA library');
    return new DeviceTensors(
      await callNative((addon, control) => addon.uploadTensors(library, native, control), options),
    );
  }

  /** As the function of that name, of the tensors as they are on the GPU. */
  async selectRatios(options: Omit<SelectOptions, 'ratio'> & { ratios: readonly number[] }): Promise<Selection[]> {
    const select = nativeSelectOptions(options, options.ratios);
    return toSelections(
      await callNative((addon, control) => addon.selectThere(this.#handle, select, control), options),
    );
  }

  /**
   * Zeroes what a selection removes, in place.
   *
   * @param selection From these tensors, or from others of equal types and lengths, also by the CPU.
   * @returns The zero-valued weights of each tensor afterwards.
   */
  async apply(selection: Selection): Promise<number[]> {
    return await callNative((addon) => addon.applyThere(this.#handle, selection.handle));
  }

  /**
   * As the function of that name: the masks of a selection as bits.
   *
   * @returns ceil(length / 8) bytes a tensor.
   */
  async packMasks(selection: Selection): Promise<Uint8Array[]> {
    return await callNative((addon) => addon.packThere(this.#handle, selection.handle));
  }

  /**
   * Copies every tensor back with zeros where a selection removes; the weights on the GPU stay as they are. What does
   * not fit there twice goes through it in parts.
   *
   * @returns The zero-valued weights of each tensor in the copies.
   */
  async downloadMasked(selection: Selection, tensors: Tensors): Promise<number[]> {
    const native = toNative(tensors);
    return await callNative((addon) => addon.downloadMasked(this.#handle, selection.handle, native));
  }

  /** Copies every tensor back, to arrays of the types and lengths that were uploaded. */
  async download(tensors: Tensors): Promise<void> {
    const native = toNative(tensors);
    await callNative((addon) => addon.downloadTensors(this.#handle, native));
  }

  /** Frees the memory when the calls that run are done; later calls fail with INVALID_OPTION. */
  dispose(): void {
    callNativeSync((addon) => addon.disposeTensors(this.#handle));
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
