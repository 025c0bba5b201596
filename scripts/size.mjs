// npm run size: prints the lines of every source file and fails over 400, so that files stay readable in one sitting.
// Tests and benches are printed in total only.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { listFiles, root } from './files.mjs';

const LIMIT = 400;

/** Files that may be longer, each with its reason. */
const ALLOWED = new Map([]);

const SOURCES = /\.(ts|cts|mjs|cc|h|cu|cuh|cmake)$/;

function linesOf(file) {
  return readFileSync(path.join(root, file), 'utf8').split('\n').length - 1;
}

/** Prints one group and returns its files that are too long. */
function report(title, files, perFile) {
  const sizes = files.map((file) => ({ file, lines: linesOf(file) }));
  const total = sizes.reduce((sum, { lines }) => sum + lines, 0);
  console.log(`${String(total).padStart(6)}  ${title} (${files.length} files)`);
  if (!perFile) return [];
  for (const { file, lines } of sizes) console.log(`${String(lines).padStart(6)}    ${file}`);
  return sizes.filter(({ file, lines }) => lines > LIMIT && !ALLOWED.has(file));
}

const generated = /(^|\/)generated\/|_pb\.ts$/;
const isTest = /^native\/(test|bench)\//;
const all = listFiles(['src', 'models', 'native', 'binding', 'scripts'], SOURCES).filter(
  (file) => !generated.test(file),
);
const tooLong = [];
for (const folder of ['src', 'models', 'native', 'binding', 'scripts']) {
  const files = all.filter((file) => file.startsWith(`${folder}/`) && !isTest.test(file));
  tooLong.push(...report(folder, files, true));
}
report(
  'native tests and benches',
  all.filter((file) => isTest.test(file)),
  false,
);
report('test and bench', listFiles(['test', 'bench'], /\.(ts|mjs|py)$/), false);

if (tooLong.length > 0) {
  const names = tooLong.map(({ file, lines }) => `${file} (${lines})`).join(', ');
  console.error(`Expected files of at most ${LIMIT} lines, got ${names}: split them, or list them with a reason here.`);
  process.exit(1);
}
