// `secateur prune`: sets the smallest weights of a model to zero and says what that did, counted from the written file.
import { type Command, Option } from 'commander';
import { type PruneReport, prune } from '../../index.js';
import { formatCount, formatPercent, formatReal, formatSeconds, formatShape, plural, printable } from '../format.js';
import {
  addOutputOptions,
  oneOf,
  outputFile,
  ratio as parseRatio,
  real,
  required,
  texts,
  threadsOption,
} from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { printSkipped } from '../skipped.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';

const EPILOGUE = `
Removes exactly round(ratio * weights) weights: those of smallest magnitude
over all prunable tensors together (--scope layer: in each tensor). Equal
magnitudes are kept in order of tensor, then of index, so the same model gives
the same bytes on every machine and with every number of threads.

The output appears under its name only when it is complete, so it may be the
input. A model with external data gets one data file of its own beside it.

Examples:
  $ secateur prune model.onnx -o pruned.onnx --ratio 0.9
  $ secateur prune model.onnx --ratio 0.9 --dry-run
  $ secateur prune model.onnx -o pruned.onnx --ratio 0.95 --min-keep 0.01
  $ secateur prune model.onnx -o pruned.onnx --ratio 0.5 --exclude 'head.*'

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (no file changed)`;

interface Options {
  output?: string;
  ratio?: number;
  scope?: 'global' | 'layer';
  minKeep?: number;
  include?: string[];
  exclude?: string[];
  threads?: number;
  device?: 'auto' | 'cpu' | 'cuda';
  allowNonfinite?: boolean;
  dryRun?: boolean;
  json?: boolean;
  quiet?: boolean;
}

export function addPrune(program: Command, run: Runner): void {
  const command = program
    .command('prune')
    .summary('set the smallest weights of a model to zero')
    .description('Sets the smallest weights of a model to zero, by one ratio over all its layers together.')
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .option(
      '-o, --output <file>',
      'ONNX file to write; may be the input (needed, but not with --dry-run)',
      outputFile(),
    )
    .option(
      '-r, --ratio <number>',
      'fraction of the prunable weights to remove, [0, 1) (needed)',
      parseRatio('--ratio'),
    )
    .addOption(scopeOption())
    .option(
      '--min-keep <number>',
      'smallest fraction kept in each tensor, [0, 1] (default: 0)',
      real('--min-keep', 0, 1),
    )
    .option('--include <glob>', 'also prune tensors whose name matches; repeatable', texts())
    .option('--exclude <glob>', 'leave tensors whose name matches as they are; repeatable', texts())
    .option('--allow-nonfinite', 'keep NaN and infinities instead of failing at the first')
    .option('--dry-run', 'print the plan, write nothing')
    .addOption(threadsOption())
    .addOption(deviceOption())
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => pruneModel(model, options, context)),
  );
}

function scopeOption(): Option {
  return new Option(
    '--scope <scope>',
    'global: one threshold over all tensors; layer: one a tensor (default: global)',
  ).argParser(oneOf('--scope', ['global', 'layer']));
}

function deviceOption(): Option {
  return new Option('--device <device>', 'auto, cpu or cuda (default: auto)').argParser(
    oneOf('--device', ['auto', 'cpu', 'cuda']),
  );
}

async function pruneModel(
  model: string,
  options: Options,
  { terminal, progress, signal }: CommandContext,
): Promise<void> {
  const { json: _, quiet: __, output, dryRun = false, ...selection } = options;
  const ratio = required(options.ratio, '--ratio NUMBER', 'the fraction of the weights to remove, in [0, 1)');
  if (!dryRun) required(output, '-o FILE', 'the file to write (or --dry-run to write nothing)');
  const report = await prune(model, {
    ...selection,
    ratio,
    ...(output === undefined ? {} : { output }),
    dryRun,
    signal,
    onProgress: ({ phase, done, total }) => progress.update(phase, done, total),
  });
  progress.stop();
  terminal.result(report);
  printTable(report, terminal);
  printSummary(report, dryRun, terminal);
  warnOfDeadTensors(report, terminal);
}

function printTable(report: PruneReport, terminal: Terminal): void {
  const table = renderTable({
    columns: [
      { header: 'tensor', shrink: true },
      { header: 'shape', align: 'right', leaves: 2 },
      { header: 'type', leaves: 4 },
      { header: 'weights', align: 'right' },
      { header: 'removed', align: 'right' },
      { header: 'sparsity', align: 'right' },
      // With scope global it is the same number in every row; the summary has it.
      ...(report.scope === 'layer' ? [{ header: 'threshold', align: 'right', leaves: 1 } as const] : []),
    ],
    rows: report.tensors.map((tensor) => [
      printable(tensor.name),
      formatShape(tensor.shape),
      tensor.dtype,
      formatCount(tensor.weights),
      formatCount(tensor.removed),
      formatPercent(tensor.sparsity),
      formatReal(tensor.threshold),
    ]),
    footer: [
      plural(report.tensors.length, 'tensor'),
      '',
      '',
      formatCount(report.weights),
      formatCount(report.removed),
      formatPercent(sparsity(report)),
      '',
    ],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print(...table, '');
  printSkipped(report.skipped, terminal);
}

function sparsity(report: PruneReport): number {
  const zeros = report.tensors.reduce((sum, tensor) => sum + tensor.sparsity * tensor.weights, 0);
  return report.weights === 0 ? 0 : zeros / report.weights;
}

function printSummary(report: PruneReport, dryRun: boolean, terminal: Terminal): void {
  const { seconds } = report;
  const below = report.threshold === null ? ', layer by layer' : `, those below ${formatReal(report.threshold)}`;
  terminal.say(
    `${dryRun ? 'Would remove' : 'Removed'} ${formatCount(report.removed)} of ${plural(report.weights, 'weight')} ` +
      `(ratio ${report.ratio})${below}. Took ${formatSeconds(seconds.total)}: selecting ${formatSeconds(seconds.select)}` +
      `${dryRun ? '' : `, writing ${formatSeconds(seconds.apply)}`}; ${plural(report.threads, 'thread')} on ${report.device}.`,
  );
  if (dryRun) {
    terminal.say('Nothing was written: this was a dry run.');
    return;
  }
  // The first question of everybody who prunes; better answered here than in an issue.
  terminal.say(
    `${printable(report.output ?? '')} is as large as the input: zeros are stored like any other number. It ` +
      'compresses better (zip, gzip, zstd), and a runtime that skips zeros runs it faster; a dense runtime such as ' +
      'ONNX Runtime runs it as fast as before.',
  );
}

/** A tensor that lost everything makes a constant of all that follows it: legal, and almost never meant. */
function warnOfDeadTensors(report: PruneReport, terminal: Terminal): void {
  const dead = report.tensors.filter((tensor) => tensor.weights > 0 && tensor.removed === tensor.weights);
  const [first] = dead;
  if (first === undefined) return;
  const others = dead.length === 1 ? '' : ` and ${plural(dead.length - 1, 'other')}`;
  terminal.warn(
    `${printable(first.name)}${others} lost every weight; --min-keep 0.01 keeps at least 1% of each tensor`,
  );
}
