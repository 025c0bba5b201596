// Packs prebuilds/<platform>-<arch>/ for npm: prebuildify names the file the way node-gyp-build looks for it.
// prebuildify would call node-gyp; it gets our cmake-js build instead, in a folder of its own because it moves the
// built file away.
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import prebuildify from 'prebuildify';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const stage = path.join(root, 'build/prebuild');
const quoted = (text) => `"${text}"`;

// prebuildify takes the addon from <cwd>/build/Release.
rmSync(path.join(stage, 'build/Release'), { recursive: true, force: true });
mkdirSync(stage, { recursive: true });

const builder = [process.execPath, path.join(root, 'scripts/build-native.mjs')].map(quoted).join(' ');
const options = {
  name: 'secateur',
  cwd: stage,
  out: root,
  napi: true,
  targets: [`node@${process.versions.node}`],
  strip: true,
  tagLibc: process.platform === 'linux',
  tagArmv: process.arch === 'arm' || process.arch === 'arm64',
  // One command line for a shell; prebuildify appends arguments of node-gyp, which the script ignores.
  nodeGyp: `${builder} --static-runtime --out ${quoted(path.join(stage, 'build'))}`,
  shell: true,
};

prebuildify(options, (error) => {
  if (error) {
    console.error(`Expected the addon to build for prebuilds/, got: ${error.message}`);
    process.exit(1);
  }
});
