// Loads the native addon: what was built from source here, else the package's prebuild of this platform. The only
// file that names it. CommonJS in both builds, since the loader of prebuilds is.
import fs = require('node:fs');
import path = require('node:path');
import nodeGypBuild = require('node-gyp-build');

import type { NativeAddon } from './contract.js';

let loaded: NativeAddon | undefined;

/** The folder of this package's own package.json, from wherever this file was compiled to. */
function packageRoot(): string {
  for (let folder = __dirname; ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (fs.existsSync(manifest) && JSON.parse(fs.readFileSync(manifest, 'utf8')).name === 'secateur') return folder;
    if (path.dirname(folder) === folder) throw new Error(`no package.json of secateur above ${__dirname}`);
  }
}

/** The path of the addon that `loadAddon` loads. Throws when there is none. */
function addonPath(): string {
  return nodeGypBuild.resolve(packageRoot());
}

/**
 * The addon, loaded once.
 *
 * @throws Error as the loader gives it; `addon()` in addon.ts turns it into a SecateurError.
 */
function loadAddon(): NativeAddon {
  loaded ??= nodeGypBuild(packageRoot()) as NativeAddon;
  return loaded;
}

export = { addonPath, loadAddon };
