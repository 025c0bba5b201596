// The ResNet tables and charts of docs/results.md, from the dense ResNet-56 in models/resnet56, by the command line: two jobs at
// a time with a thread each. What is finished is not run again, and what was interrupted goes on.
// Usage: node bench/resnet56-cifar10.mjs FOLDER [JOB ...]   (needs CIFAR-10: SECATEUR_DATA, or ../shared/data)
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { accuracyChart } from '../dist/esm/src/index.js';
import { root, secateur } from './secateur.mjs';

const dense = path.join(root, 'models/resnet56/dense.onnx');
const [folder, ...wanted] = process.argv.slice(2);
if (folder === undefined)
  throw new Error('Expected a folder to write to: node bench/resnet56-cifar10.mjs FOLDER [JOB ...]');
mkdirSync(folder, { recursive: true });
const file = (name) => path.join(folder, name);

const common = ['--data', 'cifar-10', '--threads', '1'];
const augment = ['--augment', 'crop:4', '--augment', 'flip', '--label-smoothing', '0.1'];
const recalibrated = ['--recalibrate-bn', '--bn-augment', 'crop:4', '--bn-augment', 'flip'];
const sgd = ['--batch', '128', '--optimizer', 'sgd', '--weight-decay', '5e-4', ...augment, '--seed', '5'];
const nine = ['-r', '0.1:0.9:0.1'];

/**
 * ADMM's iterations of one epoch and the retraining after them; magnitude trains as long. The more is removed, the more there
 * is to learn anew: more epochs, and a higher rate.
 */
const retrained = [
  { ratio: '0.9', iterations: '2', epochs: '4', rate: '0.05', rho: ['--rho', '1e-2', '--rho-end', '1e-1'] },
  { ratio: '0.5', iterations: '1', epochs: '1', rate: '0.01', rho: ['--rho', '1e-1'] },
  { ratio: '0.7', iterations: '1', epochs: '2', rate: '0.02', rho: ['--rho', '1e-1'] },
  { ratio: '0.3', iterations: '1', epochs: '1', rate: '0.01', rho: ['--rho', '1e-1'] },
];
const scopes = ['global', 'layer'];
const depths = ['44', '32', '20'];

const jobs = [
  ...retrained.flatMap(({ ratio, iterations, epochs, rate, rho }) =>
    scopes.map((scope) => ({
      name: `retrained-${ratio}-${scope}`,
      steps: [
        [
          ...['sweep', dense, '-r', ratio, '--method', 'magnitude,admm', '--scope', scope, '--iterations', iterations],
          ...['--retrain-epochs', epochs, '--same-epochs', ...rho, '--lr', rate, ...sgd, ...common],
          ...['-o', file(`retrained-${ratio}-${scope}`)],
        ],
      ],
    })),
  ),
  ...scopes.map((scope) => ({
    name: `one-shot-${scope}`,
    steps: [['sweep', dense, ...nine, '--scope', scope, ...recalibrated, ...common, '-o', file(`one-shot-${scope}`)]],
  })),
  ...depths.map((depth) => ({
    name: `depth-${depth}`,
    steps: [
      ['new', 'resnet56', '--depth', depth, '--seed', '1', '-o', file(`new-${depth}.onnx`)],
      [
        ...['train', file(`new-${depth}.onnx`), '--epochs', '2', '--lr', '0.2', '--schedule', 'one-cycle', ...sgd],
        ...common,
        ...['--report', file(`resnet${depth}.json`), '-o', file(`resnet${depth}.onnx`), '--resume'],
      ],
    ],
    output: file(`resnet${depth}.onnx`),
  })),
];

async function carryOut({ name, steps, output }) {
  if (output !== undefined && existsSync(output)) return;
  const begin = Date.now();
  for (const step of steps) writeFileSync(file(`${name}.json`), await secateur([...step, '--json']));
  console.log(`${name}: ${Math.round((Date.now() - begin) / 1000)} s`);
}

/** Ratios differ in their epochs: the retrained points of a method and scope make one line all the same. */
const onOneLine = (point) => (point.epochs === 0 ? point : { ...point, retrainEpochs: 1, epochs: undefined });

/** One chart of the one-shot points at nine ratios and the retrained ones. */
async function drawAccuracy() {
  const measured = jobs.filter(({ output }) => output === undefined).map(({ name }) => file(`${name}.json`));
  const reports = measured.filter(existsSync).flatMap((name) => JSON.parse(readFileSync(name, 'utf8')).models);
  if (reports.length === 0) return;
  const points = reports.flatMap((report) => report.points.map(onOneLine)).toSorted((a, b) => a.ratio - b.ratio);
  const merged = { ...reports[0], points };
  writeFileSync(file('accuracy.svg'), await accuracyChart([merged], { data: 'cifar-10' }));
}

const queue = jobs.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const work = async () => {
  for (let job = queue.shift(); job !== undefined; job = queue.shift()) await carryOut(job);
};
await Promise.all([work(), work()]);
await drawAccuracy();
const models = [...depths.toReversed().map((depth) => file(`resnet${depth}.onnx`)), dense].filter(existsSync);
await secateur(['sweep', ...models, ...nine, '-o', file('depths')]);
