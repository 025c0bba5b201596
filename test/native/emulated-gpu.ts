// The emulated GPU for tests: the library that CMake builds from the kernels' own files (native/cuda/emulation).
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { vi } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const build = path.join(root, 'build/cuda-emulated');

/** The library, once it is built. */
export const emulatedGpu = path.join(build, 'libsecateur_cuda_emulated.so');

/** Whether it can be built here. */
export const hasTools =
  process.platform === 'linux' && ['cmake', 'g++', 'flock'].every((tool) => !spawnSync(tool, ['--version']).error);

/** Builds it; files of tests that run at once wait for each other. */
export function buildEmulatedGpu(): void {
  mkdirSync(build, { recursive: true });
  const cmake = (...options: string[]) =>
    execFileSync('flock', [path.join(build, 'lock'), 'cmake', ...options], { cwd: root, stdio: 'ignore' });
  const settings = ['-DSECATEUR_CUDA=off', '-DSECATEUR_CUDA_EMULATED=ON', '-DCMAKE_BUILD_TYPE=Release'];
  cmake('-S', root, '-B', build, ...settings);
  cmake('--build', build, '--target', 'secateur_cuda_emulated');
}

/** Until `vi.unstubAllEnvs`, the library is found in its place. */
export function useEmulatedGpu(): void {
  vi.stubEnv('SECATEUR_CUDA_LIBRARY', emulatedGpu);
}
