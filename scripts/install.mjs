// npm's install step: takes the prebuilt addon where the package has one that loads here, and builds it otherwise.
// In a git checkout it always builds (incrementally), so that sources and addon cannot differ.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative } from './build-native.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** In a process of its own: an addon built for another C library may crash as well as throw. */
function prebuildLoads() {
  const finder = createRequire(import.meta.url).resolve('node-gyp-build');
  const load = 'require(process.argv[1])(process.argv[2])';
  const env = { ...process.env, PREBUILDS_ONLY: '1' };
  return spawnSync(process.execPath, ['-e', load, finder, root], { env, stdio: 'ignore' }).status === 0;
}

const fromSource = existsSync(path.join(root, '.git')) || process.env.npm_config_build_from_source === 'true';
if (!fromSource && prebuildLoads()) process.exit(0);

if (!buildNative()) {
  console.error(
    '\nsecateur has no prebuilt addon for this platform and could not build one. Building needs a C++20 compiler ' +
      '(g++ >= 11, clang >= 14 or Visual Studio 2022) and CMake >= 3.18; install both and run npm install again. ' +
      'The messages above say what failed.',
  );
  process.exit(1);
}
