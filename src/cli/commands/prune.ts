// `secateur prune`: sets the smallest weights of a model to zero and says what that did, counted from the written file.
import { type Command, Option } from 'commander';
import { SecateurError } from '../../errors.js';
import {
  type Granularity,
  modelSizes,
  type PackedValues,
  type PackFormat,
  type PruneOptions,
  type PruneReport,
  prune,
} from '../../index.js';
import {
  formatBytes,
  formatCount,
  formatPercent,
  formatReal,
  formatSeconds,
  formatShape,
  plural,
  printable,
} from '../format.js';
import {
  addOutputOptions,
  deviceOption,
  granularityOption,
  oneOf,
  outputFile,
  ratio as parseRatio,
  ratioFor,
  real,
  required,
  texts,
  threadsOption,
} from '../options.js';
import { describePacked } from '../packing.js';
import { type Finished, pruneAndFinish } from '../prune-finish.js';
import {
  addRecalibrationOptions,
  checkRecalibration,
  type RecalibrationChoice,
  recalibrationOf,
} from '../recalibration.js';
import type { CommandContext, Runner } from '../run.js';
import { printSkipped } from '../skipped.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';
import { taskOption } from '../training/detection-options.js';
import { valuesOption } from './pack.js';

const EPILOGUE = `
Removes exactly round(ratio * weights) weights: those of smallest magnitude
over all prunable tensors together (--scope layer: in each tensor). Equal
magnitudes are kept in order of tensor, then of index, so the same model gives
the same bytes on every machine and with every number of threads.

--granularity says what goes or stays as one:
  weight      each weight by itself (default)
  channel     whole output channels with their biases; those that meet in an
              Add, Mul or depthwise convolution go together. Then
              \`secateur compact\` makes the model smaller and faster.
  N:M         of every M weights along the input dimension the N largest stay:
              2:4 is what NVIDIA's sparse tensor cores run. Takes no --ratio.
  block:RxC   blocks of R outputs and C inputs, such as block:4x4
Channels and blocks go in order of their root mean square, as many as fit into
the ratio. docs/granularity.md says more.

--recalibrate-bn --data WHERE gives every BatchNormalization the mean and
variance that its input has after the pruning, over some training batches: much
of what a one-shot pruning loses comes back, without training.

The output appears under its name only when it is complete, so it may be the
input. A model with external data gets one data file of its own beside it.

Examples:
  $ secateur prune model.onnx -o pruned.onnx --ratio 0.9
  $ secateur prune model.onnx --ratio 0.9 --dry-run
  $ secateur prune model.onnx -o pruned.onnx --ratio 0.95 --min-keep 0.01
  $ secateur prune model.onnx -o pruned.onnx --ratio 0.5 --exclude 'head.*'
  $ secateur prune model.onnx -o pruned.onnx --ratio 0.5 --granularity channel
  $ secateur prune model.onnx -o pruned.onnx --granularity 2:4
  $ secateur prune model.onnx -o pruned.onnx --ratio 0.7 --recalibrate-bn \\
      --data cifar-10

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (no file changed)`;

interface Options extends RecalibrationChoice {
  output?: string;
  ratio?: number;
  granularity?: Granularity;
  scope?: 'global' | 'layer';
  minKeep?: number;
  include?: string[];
  exclude?: string[];
  threads?: number;
  device?: 'auto' | 'cpu' | 'cuda';
  allowNonfinite?: boolean;
  dryRun?: boolean;
  format?: 'dense' | PackFormat;
  values?: PackedValues;
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
      'fraction of the prunable weights to remove, [0, 1) (needed, but not with N:M)',
      parseRatio('--ratio'),
    )
    .addOption(granularityOption())
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
    .addOption(formatOption())
    .addOption(valuesOption())
    .addOption(threadsOption())
    .addOption(deviceOption('auto'))
    .addHelpText('after', EPILOGUE);
  addRecalibrationOptions(command)
    .option('--data <where>', 'training data for --recalibrate-bn, as `train` takes it')
    .addOption(taskOption('what --data is: '));
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

function formatOption(): Option {
  return new Option(
    '--format <format>',
    'dense, or packed or sparse as `secateur pack` writes them (default: dense)',
  ).argParser(oneOf('--format', ['dense', 'packed', 'sparse']));
}

async function pruneModel(model: string, options: Options, context: CommandContext): Promise<void> {
  const { json: _, quiet: __, output, dryRun = false, format = 'dense', values, ...rest } = options;
  const { recalibrateBn, bnBatches: ___, bnAugment: ____, data: location, task, ...selection } = rest;
  const { progress, signal } = context;
  const ratio = ratioFor(options);
  if (values !== undefined && format !== 'packed') throw needs('--format packed with --values', '--values');
  if (location !== undefined && !recalibrateBn) throw needs('--recalibrate-bn with --data', '--data');
  if (task !== undefined && !recalibrateBn) throw needs('--recalibrate-bn with --task', '--task');
  checkRecalibration(options);
  const onProgress: PruneOptions['onProgress'] = ({ phase, done, total }) => progress.update(phase, done, total);
  const work = { ...selection, ratio, signal, onProgress };
  if (dryRun) {
    if (recalibrateBn) throw needs('no --recalibrate-bn with --dry-run', '--recalibrate-bn');
    const report = await prune(model, { ...work, ...(output === undefined ? {} : { output }), dryRun });
    printReport({ pruned: report }, context, 'Nothing was written: this was a dry run.');
    return;
  }
  const file = required(output, '-o FILE', 'the file to write (or --dry-run to write nothing)');
  const data = await recalibrationOf(options);
  const onBatch = (done: number, total: number) => progress.update('recalibrating', done, total, 'steps');
  const recalibrate = data && { source: data.sourceFor(model), batches: data.batches, onProgress: onBatch };
  const pack = format === 'dense' ? undefined : { format, values };
  const direct = recalibrate === undefined && pack === undefined;
  const finished = direct
    ? { pruned: await prune(model, { ...work, output: file }) }
    : await pruneAndFinish(model, { ...work, output: file }, { recalibrate, pack });
  printReport(finished, context, await lastWords(finished, context));
}

function needs(what: string, option: string): SecateurError {
  return new SecateurError('INVALID_OPTION', `Expected ${what}`, { option });
}

/** What the file is good for. */
async function lastWords({ pruned, packed }: Finished, { terminal, signal }: CommandContext): Promise<string> {
  if (packed !== undefined) return describePacked(packed);
  const silent = terminal.json || terminal.quiet;
  return describeUse(pruned, silent ? null : await packedSize(pruned.output ?? '', signal));
}

/** For one sentence: the output is in place, so that nothing here may make a failure of it. */
async function packedSize(file: string, signal: AbortSignal): Promise<number | null> {
  try {
    return (await modelSizes(file, { zip: false, signal })).packed;
  } catch {
    return null;
  }
}

function printReport(
  { pruned: report, recalibrated, packed }: Finished,
  { terminal, progress }: CommandContext,
  last: string,
): void {
  progress.stop();
  terminal.result({ ...report, ...(recalibrated && { recalibrated }), ...(packed && { packed }) });
  printTable(report, terminal);
  printSummary(report, terminal);
  if (recalibrated) {
    const { nodes, samples } = recalibrated;
    terminal.say(`Statistics of ${plural(nodes, 'BatchNormalization')} are new, from ${plural(samples, 'sample')}.`);
  }
  terminal.say(last);
  warnOfDeadTensors(report, terminal);
}

function printTable(report: PruneReport, terminal: Terminal): void {
  const grouped = report.groups?.removed !== undefined && report.groups.removed !== null;
  const layered = report.scope === 'layer';
  const table = renderTable({
    columns: [
      { header: 'tensor', shrink: true },
      { header: 'shape', align: 'right', leaves: 2 },
      { header: 'type', leaves: 4 },
      ...(grouped
        ? [{ header: report.granularity === 'channel' ? 'channels' : 'blocks', align: 'right' } as const]
        : []),
      { header: 'weights', align: 'right' },
      { header: 'removed', align: 'right' },
      { header: 'sparsity', align: 'right' },
      // With scope global it is the same number in every row; the summary has it.
      ...(layered ? [{ header: 'threshold', align: 'right', leaves: 1 } as const] : []),
    ],
    rows: report.tensors.map((tensor) => [
      printable(tensor.name),
      formatShape(tensor.shape),
      tensor.dtype,
      ...(grouped ? [`${formatCount(tensor.removedGroups ?? 0)} of ${formatCount(tensor.groups ?? 0)}`] : []),
      formatCount(tensor.weights),
      formatCount(tensor.removed),
      formatPercent(tensor.sparsity),
      ...(layered ? [tensor.threshold === null ? '' : formatReal(tensor.threshold)] : []),
    ]),
    footer: [
      plural(report.tensors.length, 'tensor'),
      '',
      '',
      ...(grouped ? [''] : []),
      formatCount(report.weights),
      formatCount(report.removed),
      formatPercent(sparsity(report)),
      ...(layered ? [''] : []),
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

function printSummary(report: PruneReport, terminal: Terminal): void {
  const { seconds } = report;
  const dryRun = report.output === null;
  terminal.say(
    `${dryRun ? 'Would remove' : 'Removed'} ${formatCount(report.removed)} of ${plural(report.weights, 'weight')} ` +
      `(ratio ${report.ratio})${describeChoice(report)}. Took ${formatSeconds(seconds.total)}: selecting ${formatSeconds(seconds.select)}` +
      `${dryRun ? '' : `, writing ${formatSeconds(seconds.apply)}`}; ${plural(report.threads, 'thread')} on ${report.device}.`,
  );
}

/** Which weights were taken. */
function describeChoice({ granularity, groups, following, threshold }: PruneReport): string {
  const below = threshold === null ? '' : ` below ${formatReal(threshold)}`;
  if (groups === null) return threshold === null ? ', layer by layer' : `, those${below}`;
  if (groups.removed === null) return `, ${granularity} in ${plural(groups.all, 'group')}`;
  const elements = following.reduce((sum, { zeroed }) => sum + zeroed, 0);
  const followers = elements === 0 ? '' : `, and with them ${plural(elements, 'element')} of biases and normalisation`;
  const what = granularity === 'channel' ? 'channel or set of channels' : 'block';
  const whats = granularity === 'channel' ? 'channels and sets of channels' : 'blocks';
  const all = groups.all === 1 ? `1 ${what}` : `${formatCount(groups.all)} ${whats}`;
  return `: ${formatCount(groups.removed)} of ${all}, those with a root mean square${below}${followers}`;
}

/** The first question of everybody who prunes; better answered here than in an issue. */
function describeUse({ output, granularity }: PruneReport, packed: number | null): string {
  const file = printable(output ?? '');
  const same = `${file} is as large as the input: zeros are stored like any other number. `;
  if (granularity === 'channel') {
    return `${same}\`secateur compact\` takes the dead channels out, which makes it smaller and faster in every runtime.`;
  }
  const size = packed === null ? 'makes it smaller' : `makes it about ${formatBytes(packed)}`;
  const pack = `\`secateur pack ${file} -o small.onnx\` ${size}. `;
  if (granularity === '2:4') {
    return `${same}${pack}TensorRT runs 2:4 on sparse tensor cores; ONNX Runtime's own kernels run it as fast as before.`;
  }
  return (
    `${same}${pack}A dense runtime such as ONNX Runtime runs it as fast as before; \`secateur compact\` makes it faster ` +
    'where whole channels are zero.'
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
