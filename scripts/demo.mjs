// `npm run demo`: makes a YOLOv4 of 64 million weights, prunes it at 90%, runs it before and after in onnxruntime-node
// and prints what happened. What it writes is in demo/ and stays there to be looked at.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const folder = path.join(root, 'demo');
const original = path.join(folder, 'yolov4.onnx');
const pruned = path.join(folder, 'yolov4-pruned.onnx');
const ratio = 0.9;
// A multiple of 32, and small: the work of the convolutions grows with its square, that of pruning does not.
const inputSize = 256;
const runs = 5;
const tableRows = 14;

const program = path.join(root, 'dist/esm/src/cli/main.js');
if (!existsSync(program)) fail('the build is missing: `npm run demo` makes it, and so does `npm run compile`');
const { renderTable } = await import('../dist/esm/src/cli/table.js');
const { Terminal } = await import('../dist/esm/src/cli/terminal.js');
const format = await import('../dist/esm/src/cli/format.js');
const terminal = new Terminal();
const ort = await import('onnxruntime-node').catch(() => null);

mkdirSync(folder, { recursive: true });
title('1. YOLOv4 with seeded initial weights');
console.log(secateur('new', 'yolov4', '-o', original, '--size', String(inputSize)).trimEnd());

title(`2. Remove ${100 * ratio}% of its weights, by one threshold over all layers`);
const report = JSON.parse(secateur('prune', original, '-o', pruned, '--ratio', String(ratio), '--json'));
printLayers(report);

title('3. Timings');
printTimings(report, timeCopy());

title('4. The model before and after, in ONNX Runtime');
if (ort) await compare(ort.default ?? ort);
else console.log('onnxruntime-node is not installed here, so nothing was run.');

title('5. Files');
for (const file of [original, pruned]) console.log(`${format.formatBytes(statSync(file).size).padStart(7)}  ${file}`);

function printLayers({ tensors, weights, removed }) {
  const table = renderTable({
    columns: [
      { header: 'layer', shrink: true },
      { header: 'shape', align: 'right', leaves: 1 },
      { header: 'weights', align: 'right' },
      { header: 'removed', align: 'right' },
      { header: 'sparsity', align: 'right' },
    ],
    rows: tensors.map((tensor) => [
      format.printable(tensor.name),
      format.formatShape(tensor.shape),
      format.formatCount(tensor.weights),
      format.formatCount(tensor.removed),
      format.formatPercent(tensor.sparsity),
    ]),
    footer: [
      `${tensors.length} layers`,
      '',
      format.formatCount(weights),
      format.formatCount(removed),
      format.formatPercent(removed / weights),
    ],
    width: terminal.width,
    maxRows: tableRows,
    bold: terminal.bold,
    dim: terminal.dim,
  });
  console.log(table.join('\n'));
}

function printTimings({ seconds, threads, weights }, copySeconds) {
  const rows = [
    ['exact threshold of all weights', seconds.select],
    ['masked copy of the file', seconds.apply],
    ['prune, all together', seconds.total],
    ['for comparison: copying the file', copySeconds],
  ];
  for (const [what, value] of rows) console.log(`${what.padEnd(34)}${format.formatSeconds(value).padStart(9)}`);
  console.log(`(${format.formatCount(weights)} weights, ${format.plural(threads, 'thread')})`);
}

/** The same file, by the operating system's own copy; what pruning is measured against. */
function timeCopy() {
  const copy = path.join(folder, 'copy.onnx');
  try {
    const begin = performance.now();
    copyFileSync(original, copy);
    return (performance.now() - begin) / 1000;
  } finally {
    rmSync(copy, { force: true });
  }
}

/** Runs both models on the same pixels and prints latencies and how far the outputs lie apart. */
async function compare({ InferenceSession, Tensor }) {
  const pixels = Float32Array.from({ length: 3 * inputSize * inputSize }, (_, index) => ((index * 7919) % 256) / 255);
  const feeds = { input: new Tensor('float32', pixels, [1, 3, inputSize, inputSize]) };
  const before = await run(InferenceSession, original, feeds);
  const after = await run(InferenceSession, pruned, feeds);
  let largest = 0;
  let largestDifference = 0;
  for (const [name, values] of Object.entries(before.outputs)) {
    const others = after.outputs[name];
    values.forEach((value, index) => {
      if (!Number.isFinite(value) || !Number.isFinite(others[index])) fail(`output ${name} is not finite at ${index}`);
      largest = Math.max(largest, Math.abs(value));
      largestDifference = Math.max(largestDifference, Math.abs(value - others[index]));
    });
  }
  const heads = Object.keys(before.outputs).length;
  console.log(`before   ${format.formatSeconds(before.seconds)} an image of ${inputSize}x${inputSize}`);
  console.log(
    `after    ${format.formatSeconds(after.seconds)}: a dense runtime computes with the zeros, so it is no faster`,
  );
  console.log(`outputs  all finite in ${heads} heads; they differ by up to ${format.formatReal(largestDifference)}`);
  console.log(
    `         (the largest value is ${format.formatReal(largest)}; untrained weights, so neither detects anything)`,
  );
}

async function run(InferenceSession, file, feeds) {
  const session = await InferenceSession.create(file);
  const times = [];
  let results = await session.run(feeds); // Warms up.
  for (let index = 0; index < runs; index += 1) {
    const begin = performance.now();
    results = await session.run(feeds);
    times.push((performance.now() - begin) / 1000);
  }
  const outputs = Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, tensor.data]));
  await session.release();
  times.sort((a, b) => a - b);
  return { outputs, seconds: times[Math.floor(runs / 2)] };
}

/** Prints the command as a user would type it, runs it and returns what it printed. */
function secateur(...args) {
  const typed = args.map((arg) => (path.isAbsolute(arg) ? path.relative(root, arg) : arg)).join(' ');
  console.log(terminal.dim(`$ npx secateur ${typed}`));
  const { status, stdout } = spawnSync(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) fail(`secateur ended with status ${status}; npx secateur doctor says what is broken`);
  return stdout;
}

function title(text) {
  console.log(`\n${terminal.bold(text)}`);
}

function fail(sentence) {
  process.stderr.write(`demo: ${sentence}\n`);
  process.exit(1);
}
