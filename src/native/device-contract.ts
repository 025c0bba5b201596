// The part of the addon's contract about GPUs. Internal. `library` is the path of the CUDA library; definitions are in
// native/include/secateur/device.h.
import type {
  NativeControl,
  NativeSelection,
  NativeSelectOptions,
  NativeTensor,
  SelectionHandle,
} from './common-contract.js';

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
  /** Into tensors of the types and sizes that were uploaded. */
  downloadTensors(tensors: DeviceHandle, into: NativeTensor[]): Promise<void>;
  disposeTensors(tensors: DeviceHandle): void;
}
