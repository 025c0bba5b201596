// Looks for onnxruntime-node without loading it: its version, and whether its CUDA libraries were downloaded. Secateur
// prunes without it; it runs the models.
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { readPackage } from '../package-info.js';

export interface RuntimeState {
  version: string;
  /** The file with the CUDA provider, or null where the package has none for this platform. */
  cudaProvider: string | null;
}

/** Null where it is not installed. Found from the working folder first: that is what a user's program would load. */
export function findOnnxRuntime(): RuntimeState | null {
  const starts = [path.join(process.cwd(), 'package.json'), import.meta.url];
  for (const start of starts) {
    const file = resolvePackage(start);
    if (file === undefined) continue;
    return { version: readPackage(file)?.version ?? 'unknown', cudaProvider: findCudaProvider(path.dirname(file)) };
  }
  return null;
}

function resolvePackage(start: string): string | undefined {
  try {
    return createRequire(start).resolve('onnxruntime-node/package.json');
  } catch {
    return undefined;
  }
}

function findCudaProvider(root: string): string | null {
  const name = process.platform === 'win32' ? 'onnxruntime_providers_cuda.dll' : 'libonnxruntime_providers_cuda.so';
  const bin = path.join(root, 'bin');
  const versions = existsSync(bin) ? readdirSync(bin) : [];
  const candidates = versions.map((version) => path.join(bin, version, process.platform, process.arch, name));
  return candidates.find((file) => existsSync(file)) ?? null;
}
