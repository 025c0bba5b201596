// Builds and runs the native tests without Node in them. Usage: node scripts/test-native.mjs [release|asan|tsan].
// The counts go to build/reports/native-<preset>.xml (JUnit), where .ci/run reads them.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const preset = process.argv[2] ?? 'release';
const reports = path.join(root, 'build/reports');
const parallel = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(availableParallelism());

function step(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) {
    console.error(`Expected to run ${command} for the native tests, got: ${error.message}. Install CMake >= 3.21.`);
  }
  if (status !== 0) process.exit(status ?? 1);
}

mkdirSync(reports, { recursive: true });
const werror = process.env.SECATEUR_WERROR === '1' ? 'ON' : 'OFF';
step('cmake', ['--preset', preset, `-DSECATEUR_WERROR=${werror}`]);
step('cmake', ['--build', '--preset', preset, '--parallel', parallel]);
step('ctest', ['--preset', preset, '--output-junit', path.join(reports, `native-${preset}.xml`)]);
