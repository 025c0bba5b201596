// Compiles src/ and models/ twice with tsc: ES modules to dist/esm and CommonJS to dist/cjs. Incremental, so a
// second run with nothing changed takes about a second. Knows nothing about the native addon.
// Usage: node scripts/build-ts.mjs [--clean]; --clean removes dist/ first, with the outputs of sources now gone.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');

if (process.argv.includes('--clean')) rmSync(path.join(root, 'dist'), { recursive: true, force: true });

for (const format of ['esm', 'cjs']) {
  const project = path.join(root, `tsconfig.${format}.json`);
  const { status } = spawnSync(process.execPath, [compiler, '-p', project], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

// The package is "type": "module"; this one line makes Node read dist/cjs as CommonJS. It has no name on purpose:
// a walk upwards to the package's root looks for the package.json that is named secateur.
mkdirSync(path.join(root, 'dist/cjs'), { recursive: true });
writeFileSync(path.join(root, 'dist/cjs/package.json'), '{ "type": "commonjs" }\n');

// tsc writes plain files; npx in a checkout runs the program by its path.
const program = path.join(root, 'dist/esm/src/cli/main.js');
if (existsSync(program)) chmodSync(program, 0o755);
