// `secateur retrain`: prunes a model while it is trained, by ADMM or by magnitude, and retrains what is left.
import type { Command } from 'commander';
import { invalidOption } from '../../errors.js';
import { admm, type MagnitudeOptions, magnitude } from '../../index.js';
import { addOutputOptions, granularityOption, integer, oneOf, ratio, ratioFor, ratios, real } from '../options.js';
import type { Runner } from '../run.js';
import { type AdmmChoice, addAdmmOptions, admmOf, methodRates } from '../training/admm.js';
import { addTrainingOptions } from '../training/options.js';
import { type Method, runTraining } from '../training/run.js';

const EPILOGUE = `
Methods:
  admm       the weights are pulled, more and more, towards the best network
             with that many weights over all layers together; then pruned to
             exactly the ratio, and retrained
  magnitude  the smallest weights are removed at once, and the rest retrained
  gradual    the same at a ratio that rises over --iterations epochs

--granularity prunes whole channels, blocks or 2:4, in projections and masks
alike; see \`secateur prune --help\`.

No removed weight comes back while retraining: momenta and weight decay are
masked too, and every epoch is checked.

Examples:
  $ secateur retrain trained.onnx --data mnist --ratio 0.988 -o pruned.onnx
  $ secateur retrain trained.onnx --data mnist --method magnitude --scope layer \\
      --ratio 0.9 -o baseline.onnx --report baseline.json
  $ secateur retrain trained.onnx --data mnist --round 0.9 --round 0.98 --ratio 0.996 -o tiny.onnx`;

interface Options extends AdmmChoice {
  method?: 'admm' | 'magnitude' | 'gradual';
  ratio?: number;
  scope?: 'global' | 'layer';
  minKeep?: number;
  startRatio?: number;
  round?: number[];
  retrainEpochs?: number;
}

export function addRetrain(program: Command, run: Runner): void {
  const command = program
    .command('retrain')
    .summary('prune a model while training it, by ADMM or magnitude')
    .description('Prunes a model by one removal ratio while training it, and retrains the weights that are left.')
    .argument('<model>', 'ONNX file, trained; its external data is found beside it')
    .option('-r, --ratio <number>', 'fraction of the prunable weights to remove, [0, 1) (needed)', ratio('--ratio'))
    .addOption(granularityOption())
    .option(
      '--method <name>',
      'admm, magnitude or gradual (default: admm)',
      oneOf('--method', ['admm', 'magnitude', 'gradual']),
    )
    .option('--scope <scope>', 'global, or layer (default: global)', oneOf('--scope', ['global', 'layer']))
    .option('--min-keep <number>', 'smallest fraction kept in each tensor, [0, 1]', real('--min-keep', 0, 1))
    .option('--iterations <n>', 'projections of admm, epochs of gradual (default: 24)', integer('--iterations', 1, 1e6))
    .option('--start-ratio <number>', 'of gradual: where the ratio begins (default: 0)', ratio('--start-ratio'))
    .option('--round <number>', 'ratio of a round before the last; repeatable, rising', ratios('--round'))
    .option('--retrain-epochs <n>', 'epochs after each pruning (default: 12)', integer('--retrain-epochs', 0, 1e6));
  addTrainingOptions(addAdmmOptions(command)).addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => runTraining(model, options, context, methodOf(options))),
  );
}

/** Options that belong to some methods only: with another they would be ignored in silence. */
const methodsOf = {
  iterations: ['admm', 'gradual'],
  epochsPerIteration: ['admm'],
  rho: ['admm'],
  rhoEnd: ['admm'],
  round: ['admm'],
  mask: ['admm'],
  startRatio: ['gradual'],
} as const;

function refuseForeignOptions(options: Options, method: string): void {
  for (const [name, methods] of Object.entries(methodsOf)) {
    if (options[name as keyof typeof methodsOf] === undefined || methods.some((each) => each === method)) continue;
    const option = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw invalidOption(option, `used with --method ${methods.join(' or ')}`, `--method ${method}`);
  }
}

function methodOf(options: Options): Method {
  const target = ratioFor(options);
  const { method = 'admm', scope = 'global', minKeep = 0, retrainEpochs = 12 } = options;
  refuseForeignOptions(options, method);
  const common = { ratio: target, scope, minKeep, retrainEpochs, ...methodRates(options) };
  if (method === 'admm') {
    const { round: rounds = [] } = options;
    return (trainer, batches, run) => admm(trainer, batches, { ...run, ...common, ...admmOf(options), rounds });
  }
  const extra: Partial<MagnitudeOptions> =
    method === 'gradual'
      ? { schedule: 'gradual', rampEpochs: options.iterations ?? 24, startRatio: options.startRatio ?? 0 }
      : {};
  return (trainer, batches, run) => magnitude(trainer, batches, { ...run, ...common, ...extra });
}
