// The LeNet-5 table of docs/results.md: trains, prunes and measures every row by the command line, two rows at a time with a
// thread each. A row whose report is there is not run again, and one that was interrupted goes on.
// Usage: node bench/lenet5-mnist.mjs FOLDER [ROW ...]   (needs MNIST: SECATEUR_DATA, or ../shared/data)
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { secateur } from './secateur.mjs';

const [folder, ...wanted] = process.argv.slice(2);
if (folder === undefined)
  throw new Error('Expected a folder to write to: node bench/lenet5-mnist.mjs FOLDER [ROW ...]');
mkdirSync(folder, { recursive: true });

const common = ['--data', 'mnist', '--average', '0.998', '--threads', '1'];
const admm = ['--method', 'admm', '--iterations', '16', '--retrain-epochs', '8', '--augment', 'crop:1'];
const once = ['--method', 'magnitude', '--retrain-epochs', '24', '--augment', 'crop:1'];
const gradual = ['--method', 'gradual', '--iterations', '16', '--retrain-epochs', '8', '--augment', 'crop:1'];
/** The fewest weights take longest: a slower rise of the pull, and more retraining at a higher rate. */
const few = [
  '--method',
  'admm',
  '--augment',
  'crop:1',
  '--rho-end',
  '2e-2',
  '--retrain-lr',
  '2e-3',
  '--average',
  '0.999',
];

/** A row starts from the model of another row, or from a new network. */
const rows = [
  ...[1, 2, 3].map((seed) => ({
    name: `dense-${seed}`,
    seed,
    command: 'train',
    options: ['--epochs', '8', '--lr', '2e-3', '--augment', 'crop:1'],
  })),
  ...[1, 2, 3].map((seed) => retrain(`admm-98.8-${seed}`, `dense-${seed}`, [...admm, '--ratio', '0.988'], seed)),
  retrain('admm-99.2', 'dense-1', [...admm, '--ratio', '0.992']),
  ...['0.988', '0.992'].flatMap((ratio) =>
    ['global', 'layer'].map((scope) =>
      retrain(`magnitude-${scope}-${100 * ratio}`, 'dense-1', [...once, '--scope', scope, '--ratio', ratio]),
    ),
  ),
  retrain('admm-layer-98.8', 'dense-1', [...admm, '--scope', 'layer', '--ratio', '0.988']),
  retrain('gradual-global-98.8', 'dense-1', [...gradual, '--ratio', '0.988']),
  retrain('admm-99.6', 'dense-1', [...few, '--iterations', '32', '--retrain-epochs', '40', '--ratio', '0.996']),
  retrain('admm-99.667', 'dense-1', [
    ...few,
    '--iterations',
    '40',
    '--retrain-epochs',
    '50',
    '--ratio',
    '0.9966666667',
  ]),
];

function retrain(name, from, options, seed = 1) {
  return { name, from, seed, command: 'retrain', options };
}

const file = (name, extension) => path.join(folder, `${name}.${extension}`);
const isDone = ({ name }) => existsSync(file(name, 'json'));

async function carryOut(row) {
  const start = row.from === undefined ? file(`new-${row.seed}`, 'onnx') : file(row.from, 'onnx');
  if (row.from === undefined) await secateur(['new', 'lenet5', '--seed', String(row.seed), '-o', start]);
  const output = ['-o', file(row.name, 'onnx'), '--report', file(row.name, 'report.json'), '--resume'];
  const args = [row.command, start, ...common, ...row.options, '--seed', String(row.seed), ...output];
  writeFileSync(file(row.name, 'command'), `npx secateur ${args.join(' ')}\n`);
  await secateur(args);
  const report = JSON.parse(readFileSync(file(row.name, 'report.json'), 'utf8'));
  const score = JSON.parse(await secateur(['eval', file(row.name, 'onnx'), '--data', 'mnist', '--json']));
  writeFileSync(file(row.name, 'json'), JSON.stringify({ ...report, eval: score }, null, 1));
  const kept = report.tensors.map((tensor) => tensor.kept).join(' ');
  console.log(`${row.name}: ${(100 * score.accuracy).toFixed(2)}%, kept ${kept}, ${Math.round(report.seconds)} s`);
}

/** Takes the next row whose start is there, until none is left. */
async function work(queue, running) {
  while (queue.length > 0) {
    const next = queue.findIndex(({ from }) => from === undefined || isDone({ name: from }));
    if (next < 0) {
      if (running.size === 0)
        throw new Error(`Expected the row that ${queue[0]?.name} starts from (${queue[0]?.from}) to be run too`);
      await Promise.race(running.values());
      continue;
    }
    const [row] = queue.splice(next, 1);
    const promise = carryOut(row);
    running.set(row.name, promise);
    try {
      await promise;
    } finally {
      running.delete(row.name);
    }
  }
}

const queue = rows.filter((row) => !isDone(row) && (wanted.length === 0 || wanted.includes(row.name)));
const running = new Map();
await Promise.all([work(queue, running), work(queue, running)]);
