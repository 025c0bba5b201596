// clang-format and clang-tidy over native/ and binding/. Written for version 14 (Debian 12's); another version may
// format differently. Usage: node scripts/lint-native.mjs [--fix] [FILE...]; --fix formats and leaves clang-tidy out.
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { listFiles, root } from './files.mjs';

const VERSION = 14;
const database = path.join(root, 'build/lint');

function fail(message) {
  console.error(message);
  process.exit(1);
}

/** The tool of the wanted version where it is installed under that name, else the default one. */
function findTool(name) {
  const found = [`${name}-${VERSION}`, name].find((each) => !spawnSync(each, ['--version']).error);
  return found ?? fail(`Expected ${name} ${VERSION} for npm run lint, found none: apt-get install ${name}.`);
}

function format(files, fix) {
  const mode = fix ? ['-i'] : ['--dry-run', '-Werror', '--ferror-limit=1'];
  const { status } = spawnSync(findTool('clang-format'), [...mode, ...files], { cwd: root, stdio: 'inherit' });
  if (status !== 0) fail('Expected formatted C++, got the differences above: run npm run format.');
}

/** Compile commands of the library, its tests and the addon, made by a configure step that builds nothing. */
function configure() {
  const require = createRequire(import.meta.url);
  const headers = [require('node-api-headers').include_dir, path.dirname(require.resolve('node-addon-api'))];
  const options = [
    '-DSECATEUR_TESTS=ON',
    '-DSECATEUR_CUDA=off',
    '-DCMAKE_JS_VERSION=lint',
    `-DCMAKE_JS_INC=${headers.join(';')}`,
  ];
  const args = ['-S', root, '-B', database, '-DCMAKE_BUILD_TYPE=Release', ...options];
  const { status, error } = spawnSync('cmake', args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  if (error) fail('Expected CMake for npm run lint, found none: apt-get install cmake.');
  if (status !== 0) fail('Expected CMake to configure for clang-tidy; its messages are above.');
  const commands = JSON.parse(readFileSync(path.join(database, 'compile_commands.json'), 'utf8'));
  return [...new Set(commands.map(({ file }) => path.relative(root, file)))].sort();
}

function tidyOne(tool, file) {
  // The commands are the compiler's that CMake found; clang does not know every warning of GCC.
  const args = ['-p', database, '--quiet', '--extra-arg=-Wno-unknown-warning-option', file];
  return new Promise((resolve) => {
    const child = spawn(tool, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let messages = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      messages += chunk;
    });
    child.on('close', (status) => {
      if (status !== 0) console.error(`${file}:\n${output || messages}`);
      resolve(status === 0);
    });
  });
}

async function tidy(files) {
  const tool = findTool('clang-tidy');
  const queue = [...files];
  let failures = 0;
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      if (!(await tidyOne(tool, file))) failures += 1;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  if (failures > 0) fail(`Expected no findings of clang-tidy, got some in ${failures} of ${files.length} files.`);
}

const fix = process.argv.includes('--fix');
const asked = process.argv.slice(2).filter((each) => !each.startsWith('--'));
const files = listFiles(['native', 'binding'], /\.(cc|cu|h)$/);
if (files.length > 0) format(files, fix);
if (!fix) {
  const known = configure();
  await tidy(asked.length > 0 ? known.filter((file) => asked.includes(file)) : known);
}
