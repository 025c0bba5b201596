// Builds the addon with cmake-js, incrementally: build/Release/secateur.node. The headers come from the packages
// node-api-headers and node-addon-api, so nothing is downloaded on any version of Node.
// Usage: node scripts/build-native.mjs [--out DIR] [--static-runtime] [--werror]; other arguments are ignored.
// SECATEUR_WERROR=1 in the environment does what --werror does.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

function cmakeJs(command, out, extra) {
  const require = createRequire(import.meta.url);
  const program = path.join(path.dirname(require.resolve('cmake-js/package.json')), 'bin/cmake-js');
  const parallel = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(availableParallelism());
  const args = [program, command, '--directory', root, '--out', out, '--parallel', parallel, '--log-level', 'warn'];
  return spawnSync(process.execPath, [...args, ...extra], { cwd: root, stdio: 'inherit' }).status === 0;
}

function configure(out, options) {
  if (cmakeJs('configure', out, options)) return true;
  // A cache made by another generator, or in a checkout that has moved since, cannot be used again.
  const cache = path.join(out, 'CMakeCache.txt');
  if (!existsSync(cache)) return false;
  rmSync(cache);
  rmSync(path.join(out, 'CMakeFiles'), { recursive: true, force: true });
  return cmakeJs('configure', out, options);
}

/** Warnings are errors where we check our own code, not where a user's newer compiler has new opinions. */
const werrorAsked = process.env.SECATEUR_WERROR === '1';

/**
 * Configures and builds the addon in `out`.
 * @returns {boolean} false where a step failed; its messages are on stderr.
 */
export function buildNative({ out = path.join(root, 'build'), staticRuntime = false, werror = werrorAsked } = {}) {
  const onOff = (flag) => (flag ? 'ON' : 'OFF');
  const options = [`--CDSECATEUR_STATIC_RUNTIME=${onOff(staticRuntime)}`, `--CDSECATEUR_WERROR=${onOff(werror)}`];
  return configure(out, options) && cmakeJs('build', out, []);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const at = process.argv.indexOf('--out');
  const options = { staticRuntime: process.argv.includes('--static-runtime') };
  if (process.argv.includes('--werror')) options.werror = true;
  if (at > 0) options.out = path.resolve(process.argv[at + 1]);
  process.exit(buildNative(options) ? 0 : 1);
}
