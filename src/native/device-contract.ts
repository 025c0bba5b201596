// The part of the addon's contract about GPUs. Internal. `library` is the path of the CUDA library; definitions are in
// native/include/secateur/device.h.
import type {
  NativeControl,
  NativeSelection,
  NativeSelectOptions,
  NativeTensor,
  SelectionHandle,
} from './common-contract.js';
import type { StoreHandle } from './training-contract.js';

/** Opaque, type-tagged. */
export type DeviceHandle = { readonly __secateur: 'device' };

export interface NativeDeviceFacts {
  name: string;
  /** Compute capability, such as `9.0`. */
  capability: string;
  processors: number;
  /** Versions as CUDA gives them: 12040 is 12.4. */
  driver: number;
  runtime: number;
  totalBytes: number;
  freeBytes: number;
}

export interface NativeDevices {
  /** Fails with CUDA where there is no GPU that works. */
  deviceFacts(library: string): Promise<NativeDeviceFacts>;
  uploadTensors(library: string, tensors: NativeTensor[], control?: NativeControl): Promise<DeviceHandle>;
  selectThere(tensors: DeviceHandle, options: NativeSelectOptions, control?: NativeControl): Promise<NativeSelection[]>;
  /** In place; resolves to the zero-valued weights of each tensor after it. */
  applyThere(tensors: DeviceHandle, handle: SelectionHandle): Promise<number[]>;
  /** One bit a weight, as `packMasks`. */
  packThere(tensors: DeviceHandle, handle: SelectionHandle): Promise<Uint8Array[]>;
  /** Into tensors of the types and sizes that were uploaded. */
  downloadTensors(tensors: DeviceHandle, into: NativeTensor[]): Promise<void>;
  /** The same with zeros where the selection removes; resolves to the zero-valued weights of each tensor in `into`. */
  downloadMasked(tensors: DeviceHandle, handle: SelectionHandle, into: NativeTensor[]): Promise<number[]>;
  disposeTensors(tensors: DeviceHandle): void;
  /** Steps and projections over a store run on the library's GPU from now on; without a library, on the CPU again. */
  setStoreDevice(store: StoreHandle, library?: string): void;
}
