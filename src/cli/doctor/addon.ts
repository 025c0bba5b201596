// The state of the native addon: where it lies, whether it loads, and which instruction sets it offers here.
import path from 'node:path';
import { addon } from '../../native/addon.js';
import type { Backend } from '../../native/contract.js';
import loader from '../../native/load.cjs';

export interface AddonState {
  /** The file that is loaded; null where there is none. */
  path: string | null;
  origin: 'prebuild' | 'local build' | null;
  /** The instruction set in use; null where the addon does not load. */
  backend: Backend | null;
  /** What this processor can run, best first. */
  backends: Backend[];
  /** Why the addon does not work; null where it does. */
  error: string | null;
}

/** Loads the addon and asks it; a failure becomes part of the answer. */
export function examineAddon(): AddonState {
  const file = findAddon();
  const origin = file === null ? null : originOf(file);
  try {
    const native = addon();
    return { path: file, origin, backend: native.backend(), backends: native.backends(), error: null };
  } catch (error) {
    return {
      path: file,
      origin,
      backend: null,
      backends: [],
      error: error instanceof Error ? error.message : String(error),
    };
  }
}

function findAddon(): string | null {
  try {
    return loader.addonPath();
  } catch {
    return null;
  }
}

function originOf(file: string): 'prebuild' | 'local build' {
  return file.split(path.sep).includes('prebuilds') ? 'prebuild' : 'local build';
}
