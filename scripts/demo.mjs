// `npm run demo`: trains LeNet-5 on drawn digits, removes 98.8% of its weights by ADMM, retrains, packs what is left, and
// then prunes a YOLOv4 of 64 million weights beside a plain copy of its file. What it writes stays in demo/.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const folder = path.join(root, 'demo');
const program = path.join(root, 'dist/esm/src/cli/main.js');
if (!existsSync(program)) fail('the build is missing: `npm run demo` makes it, and so does `npm run compile`');
const { Terminal } = await import('../dist/esm/src/cli/terminal.js');
const format = await import('../dist/esm/src/cli/format.js');
const terminal = new Terminal();
const inDemo = (name) => path.join(folder, name);

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const begin = performance.now();
const { dense, pruned } = trainAndPrune();
showSizes();
pruneYolo();
title('Result');
console.log(`LeNet-5 on drawn digits: ${percent(dense)} with all weights, ${percent(pruned)} with 1.2% of them.`);
console.log(`The demo took ${format.formatSeconds((performance.now() - begin) / 1000)}; its files are in ${folder}.`);

function trainAndPrune() {
  title('1. LeNet-5, trained on digits that are drawn on the fly');
  secateur('new', 'lenet5', '-o', inDemo('lenet5.onnx'));
  secateur('train', inDemo('lenet5.onnx'), ...['--data', 'digits', '--epochs', '2', '-o', inDemo('trained.onnx')]);
  title('2. 98.8% of its weights removed by ADMM, one ratio over all layers; the rest retrained');
  const admm = ['--ratio', '0.988', '--iterations', '4', '--rho', '1e-3', '--retrain-epochs', '2', '--average', '0.99'];
  secateur('retrain', inDemo('trained.onnx'), '--data', 'digits', ...admm, '-o', inDemo('pruned.onnx'));
  const accuracy = (name) => JSON.parse(run('eval', inDemo(name), '--data', 'digits', '--json')).accuracy;
  return { dense: accuracy('trained.onnx'), pruned: accuracy('pruned.onnx') };
}

function showSizes() {
  title('3. The zeros made to pay');
  secateur('pack', inDemo('pruned.onnx'), ...['--format', 'packed', '-o', inDemo('packed.onnx')]);
  secateur('eval', inDemo('packed.onnx'), '--data', 'digits');
  for (const name of ['trained.onnx', 'pruned.onnx', 'packed.onnx']) {
    console.log(`${format.formatBytes(statSync(inDemo(name)).size).padStart(8)}  ${name}`);
  }
}

function pruneYolo() {
  title('4. YOLOv4: 64 million weights pruned about as fast as their file is copied');
  const original = inDemo('yolov4.onnx');
  secateur('new', 'yolov4', '-o', original);
  const report = JSON.parse(run('prune', original, '-o', inDemo('yolov4-pruned.onnx'), '--ratio', '0.9', '--json'));
  const rows = [
    ['exact threshold of all weights', report.seconds.select],
    ['masked copy of the file', report.seconds.apply],
    ['for comparison: a plain copy', timeCopy(original)],
  ];
  for (const [what, seconds] of rows) console.log(`${what.padEnd(32)}${format.formatSeconds(seconds).padStart(9)}`);
}

/** What pruning a file is measured against. */
function timeCopy(file) {
  const copy = inDemo('copy.onnx');
  const start = performance.now();
  copyFileSync(file, copy);
  const seconds = (performance.now() - start) / 1000;
  rmSync(copy);
  return seconds;
}

/** Runs a command before the user's eyes. */
function secateur(...args) {
  process.stdout.write(run(...args));
}

/** Prints the command as a user would type it, runs it and returns what it printed. */
function run(...args) {
  const typed = args.map((arg) => (path.isAbsolute(arg) ? path.relative(root, arg) : arg)).join(' ');
  console.log(terminal.dim(`$ npx secateur ${typed}`));
  const { status, stdout } = spawnSync(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    env: { ...process.env, COLUMNS: String(Math.min(terminal.width, 100)) },
  });
  if (status !== 0) fail(`secateur ended with status ${status}; npx secateur doctor says what is broken`);
  return stdout;
}

function percent(fraction) {
  return format.formatPercent(fraction);
}

function title(text) {
  console.log(`\n${terminal.bold(text)}`);
}

function fail(sentence) {
  process.stderr.write(`demo: ${sentence}\n`);
  process.exit(1);
}
