// `secateur sweep`: one dense model or several, pruned at many ratios in several ways; what each is worth and what every
// layer keeps.
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { SecateurError, type SweepOptions, type SweepReport, sweep } from '../../index.js';
import { placeLabel } from '../../sweep/series.js';
import { formatTimeLeft, printable } from '../format.js';
import { addOutputOptions, integer, real, threadsOption } from '../options.js';
import { addRecalibrationOptions } from '../recalibration.js';
import type { CommandContext, Runner } from '../run.js';
import { writeReports } from '../sweep/files.js';
import { integerList, ratioList, wordList } from '../sweep/lists.js';
import { noteOf, printSweep } from '../sweep/print.js';
import { type SweepChoice, sweepOptionsOf } from '../sweep/settings.js';
import { addAdmmOptions } from '../training/admm.js';
import { addDetectionOptions } from '../training/detection-options.js';
import { addDataOptions, addStepOptions } from '../training/options.js';

const EPILOGUE = `
Without --data only the weights are selected, which takes milliseconds: what
every layer keeps at every ratio. With --data every pruned model is measured
on the test set. Lists (--method, --scope, --retrain-epochs) are measured all
with all; each combination is a line of the plot:

  --scope global,layer            one threshold over all layers, against one
                                  a layer
  --retrain-epochs 0,10           one-shot, and retrained for 10 epochs
  --method magnitude,admm         the smallest weights, against ADMM's choice;
                                  --same-epochs gives both the same epochs
  --recalibrate-bn                one-shot, and with the statistics of
                                  BatchNormalization computed anew
Options of training are those of \`secateur retrain\`; with --task detection AP50
is measured.

-o keeps every finished point in a folder, and the checkpoint of the one under
way: after Ctrl-C, or to add ratios, run the same command again. At the end it
has report.json, points.csv, layers.csv, layers.svg and accuracy.svg.

Examples:
  $ secateur sweep model.onnx --ratios 0.1:0.9:0.1
  $ secateur sweep model.onnx --ratios 0.1:0.9:0.1 --scope global,layer \\
      --data cifar-10 -o sweep
  $ secateur sweep model.onnx --ratios 0.5,0.7,0.9 --method magnitude,admm \\
      --retrain-epochs 0,10 --iterations 10 --same-epochs --data cifar-10 \\
      --optimizer sgd --lr 0.05 --augment crop:4 --augment flip -o sweep
  $ secateur sweep r20.onnx r32.onnx r56.onnx --ratios 0.5,0.9 -o depths`;

interface Options extends SweepChoice {
  output?: string;
}

export function addSweep(program: Command, run: Runner): void {
  const command = program
    .command('sweep')
    .summary('prune a model at many ratios, measure each, and chart it')
    .description(
      'Prunes models at many removal ratios, in several ways, and says what each is worth and what layers keep.',
    )
    .argument('<models...>', 'ONNX files, trained')
    .option('-r, --ratios <list>', 'fractions to remove: 0.5,0.9 or FROM:TO:STEP (needed)', ratioList('--ratios'))
    .option('-o, --output <folder>', 'where finished points, tables and charts are kept')
    .option('--method <list>', 'magnitude, admm (default: magnitude)', wordList('--method', ['magnitude', 'admm']))
    .option('--scope <list>', 'global, layer (default: global)', wordList('--scope', ['global', 'layer']))
    .option('--retrain-epochs <list>', 'epochs after the pruning (default: 0)', integerList('--retrain-epochs', 0, 1e6))
    .option('--same-epochs', 'magnitude retrains for the epochs of ADMM too')
    .option('--min-keep <number>', 'smallest fraction kept in each tensor, [0, 1]', real('--min-keep', 0, 1))
    .option('--keep-models', 'write every pruned model into the folder')
    .option('--iterations <n>', 'projections of admm (default: 24)', integer('--iterations', 1, 1e6));
  addStepOptions(addAdmmOptions(addRecalibrationOptions(addDetectionOptions(addDataOptions(command)))))
    .addOption(threadsOption())
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((models: string[], options: Options) =>
    run(options, (context) => sweepModels(models, options, context)),
  );
}

async function sweepModels(models: string[], options: Options, context: CommandContext): Promise<void> {
  const { terminal, progress } = context;
  const { data, recalibration, ...common } = await sweepOptionsOf(options);
  const folders = options.output === undefined ? undefined : foldersOf(models, options.output);
  const reports: SweepReport[] = [];
  try {
    for (const [index, model] of models.entries()) {
      const folder = folders && { folder: folders[index], keepModels: options.keepModels ?? false };
      const recalibrate = recalibration && { ...recalibration, source: recalibration.sourceFor(model) };
      reports.push(await sweepOne(model, { ...common, ...folder, recalibrate }, context));
    }
  } catch (error) {
    if (options.output !== undefined && error instanceof SecateurError && error.code === 'ABORTED') {
      progress.stop();
      terminal.note(`${options.output} holds the finished points; the same command goes on with the others`);
    }
    throw error;
  }
  progress.stop();
  const files =
    options.output === undefined ? [] : await writeReports(options.output, { data, models: reports }, terminal);
  terminal.result({ data, models: reports, files });
  for (const report of reports) printSweep(report, terminal);
  if (files.length > 0) terminal.say(`Wrote ${files.map(printable).join(', ')}.`);
}

/** One model's points and charts lie apart from another's. */
function foldersOf(models: readonly string[], output: string): string[] {
  const names = models.map((model) => basename(model, '.onnx'));
  return names.map((name, index) => {
    const first = names.indexOf(name);
    return join(output, first === index ? name : `${name}-${index + 1}`);
  });
}

async function sweepOne(model: string, options: SweepOptions, context: CommandContext): Promise<SweepReport> {
  const { terminal, progress, signal } = context;
  const name = basename(model, '.onnx');
  const clock = new Clock();
  let [finished, points] = [0, 0];
  return await sweep(model, {
    ...options,
    signal,
    onProgress(state) {
      points = state.points;
      clock.update(state.done, state.total);
      const place = state.place === undefined ? 'dense' : placeLabel(state.place);
      const text = `${name} ${state.finished + 1}/${state.points} ${place}: ${state.phase}`;
      progress.update('sweep', state.done, state.total, 'steps', text);
    },
    onPoint(point, how) {
      finished += 1;
      if (how === 'found' || options.evaluate === undefined) return;
      progress.stop();
      terminal.note(noteOf(point, { name, finished, points, left: clock.left() }));
    },
  });
}

/** How long the rest of the work may take, from the rate so far. */
class Clock {
  readonly #begin = Date.now();
  #done = 0;
  #total = 0;

  update(done: number, total: number): void {
    [this.#done, this.#total] = [done, total];
  }

  left(): string {
    if (this.#done <= 0 || this.#total - this.#done < 0.5) return '';
    const perUnit = (Date.now() - this.#begin) / 1000 / this.#done;
    return `about ${formatTimeLeft(perUnit * (this.#total - this.#done))}`;
  }
}
