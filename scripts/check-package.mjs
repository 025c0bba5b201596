// npm run lint:package: packs the package as npm would publish it and checks what users get: publint,
// are-the-types-wrong, and a consumer in a folder of its own that requires it, imports it and compiles against it in
// both module systems. Needs a built addon and dist/.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { root } from './files.mjs';

const require = createRequire(import.meta.url);
const folder = mkdtempSync(path.join(tmpdir(), 'secateur-package-'));

function run(command, args, cwd = folder) {
  execFileSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
}

function pack() {
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const [{ filename, files }] = JSON.parse(execFileSync('npm', args, { cwd: root, encoding: 'utf8' }));
  for (const wanted of [
    'dist/esm/src/index.js',
    'dist/cjs/src/index.js',
    'dist/esm/src/cli/main.js',
    'bench/peers/common.py',
    'CMakeLists.txt',
  ]) {
    if (!files.some((file) => file.path === wanted))
      throw new Error(`Expected ${wanted} in the package, found it missing`);
  }
  return path.join(folder, filename);
}

/** The package and its dependencies as a user's node_modules would hold them; the addon is the one of this checkout. */
function unpack(archive) {
  const modules = path.join(folder, 'node_modules');
  const own = path.join(modules, 'secateur');
  mkdirSync(own, { recursive: true });
  run('tar', ['-xzf', archive, '-C', own, '--strip-components=1']);
  cpSync(path.join(root, 'build/Release'), path.join(own, 'build/Release'), { recursive: true });
  symlinkSync(path.join(root, 'node_modules'), path.join(own, 'node_modules'));
}

function consume() {
  // The second use fails to compile where the types are lost and everything is any.
  const typed = `import { inspect, prune, SecateurError } from 'secateur';
export const job: (model: string, options: { output: string; ratio: number }) => Promise<unknown> = prune;
// @ts-expect-error a model is a path
export const wrong = () => inspect(7);
export const failure = (error: unknown) => error instanceof SecateurError && error.code;
`;
  const check = `if (typeof prune !== 'function' || typeof inspect !== 'function' || !SecateurError) throw new Error();\n`;
  writeFileSync(path.join(folder, 'package.json'), '{ "name": "consumer", "private": true }\n');
  writeFileSync(path.join(folder, 'use.mjs'), `import { prune, inspect, SecateurError } from 'secateur';\n${check}`);
  writeFileSync(
    path.join(folder, 'use.cjs'),
    `const { prune, inspect, SecateurError } = require('secateur');\n${check}`,
  );
  writeFileSync(path.join(folder, 'esm.mts'), typed);
  writeFileSync(path.join(folder, 'cjs.cts'), typed);
  run(process.execPath, ['use.mjs']);
  run(process.execPath, ['use.cjs']);
  const compiler = require.resolve('typescript/bin/tsc');
  const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2022', '--types', 'node'];
  const types = ['--typeRoots', path.join(root, 'node_modules/@types')];
  run(process.execPath, [compiler, ...options, ...types, 'esm.mts', 'cjs.cts']);
}

try {
  const archive = pack();
  run(path.join(root, 'node_modules/.bin/publint'), ['run', archive, '--strict'], root);
  run(path.join(root, 'node_modules/.bin/attw'), [archive, '--profile', 'node16'], root);
  unpack(archive);
  consume();
  console.log('The package can be required and imported, with its types.');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
