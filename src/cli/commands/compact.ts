// `secateur compact`: removes the channels that pruning has left dead, and says what that made smaller and faster.
import type { Command } from 'commander';
import { type CompactReport, compact } from '../../index.js';
import { readModel } from '../../onnx/load.js';
import { isPacked } from '../../pack/parse.js';
import {
  formatBytes,
  formatCount,
  formatFactor,
  formatPercent,
  formatReal,
  formatSeconds,
  plural,
  printable,
} from '../format.js';
import { addOutputOptions, integer, outputFile, required, texts, threadsOption } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';

const EPILOGUE = `
Removes exactly: filters and neurons whose weights are all zero, channels that
nobody reads, and whole branches. What was constant is folded into what follows,
so the outputs stay the same within the rounding of floats. What cannot be cut,
such as a channel that a residual Add joins with one that lives, is left and
named.

With onnxruntime-node installed, the result gets its name only if it loads and its
outputs are those of the model, and both are timed in turn on the same random
input.

A packed model has to be unpacked first (secateur unpack).

Examples:
  $ secateur compact pruned.onnx -o compact.onnx
  $ secateur compact pruned.onnx -o compact.onnx --batch 64 --json
  $ secateur compact pruned.onnx -o compact.onnx --exclude 'head.*' --no-measure`;

interface Options {
  output?: string;
  include?: string[];
  exclude?: string[];
  batch?: number;
  threads?: number;
  measure: boolean;
  json?: boolean;
  quiet?: boolean;
}

export function addCompact(program: Command, run: Runner): void {
  const command = program
    .command('compact')
    .summary('remove channels that have become all zero')
    .description('Removes the channels, neurons and branches that pruning has left dead.')
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .option('-o, --output <file>', 'ONNX file to write; may be the input (needed)', outputFile())
    .option('--include <glob>', 'only layers whose weight matches lose channels; repeatable', texts())
    .option('--exclude <glob>', 'layers whose weight matches lose no channels; repeatable', texts())
    .option('--batch <n>', 'images a run when timing, 1 to 65536 (default: 1)', integer('--batch', 1, 65536))
    .addOption(threadsOption())
    .option('--no-measure', 'do not time the models')
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => compactModel(model, options, context)),
  );
}

async function compactModel(model: string, options: Options, { terminal, signal }: CommandContext): Promise<void> {
  const { json: _, quiet: __, output, ...rest } = options;
  const packed = isPacked(readModel(model).model);
  const report = await compact(model, { ...rest, output: required(output, '-o FILE', 'the file to write'), signal });
  terminal.result(report);
  if (report.layers.length === 0) {
    terminal.say(`Nothing to remove in ${printable(model)}; ${printable(report.output)} is a copy.`);
  } else {
    printLayers(report, terminal);
  }
  if (packed)
    terminal.warn(`${printable(model)} is packed: unpack it first (secateur unpack), compact it, and pack it again`);
  printLeft(report, terminal);
  printSizes(report, terminal);
  printComparison(report, terminal);
}

function printLayers({ layers }: CompactReport, terminal: Terminal): void {
  const range = ({ before, after }: { before: number; after: number }): string =>
    before === after ? formatCount(before) : `${formatCount(before)} -> ${formatCount(after)}`;
  const table = renderTable({
    columns: [
      { header: 'layer', shrink: true },
      { header: 'operator', leaves: 1 },
      { header: 'inputs', align: 'right' },
      { header: 'outputs', align: 'right' },
    ],
    rows: layers.map(({ name, op, inputs, outputs }) =>
      outputs.after === 0
        ? [printable(name), op, 'gone', 'gone']
        : [printable(name), op, range(inputs), range(outputs)],
    ),
    footer: [`${plural(layers.length, 'layer')} smaller`, '', '', ''],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print(...table, '');
}

const LAYERS_SHOWN = 12;

function printLeft({ left }: CompactReport, terminal: Terminal): void {
  if (left.length === 0) return;
  const total = left.reduce((sum, { channels }) => sum + channels, 0);
  terminal.print(`Left: ${plural(total, 'channel')} that carry nothing and cannot be cut`);
  const layers = groupByLayer(left);
  for (const line of layers.slice(0, LAYERS_SHOWN)) terminal.print(`  ${line}`);
  if (layers.length > LAYERS_SHOWN)
    terminal.print(`  and ${layers.length - LAYERS_SHOWN} layers more (--json has all)`);
  terminal.print('');
}

/** One line for each side of a layer, with the reason that holds for most channels. */
function groupByLayer(left: CompactReport['left']): string[] {
  const groups = new Map<string, CompactReport['left']>();
  for (const item of left) {
    const key = `${item.side} ${item.layer}`;
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return [...groups.values()].flatMap((items) => {
    const [first] = items.toSorted((a, b) => b.channels - a.channels);
    if (first === undefined) return [];
    const channels = items.reduce((sum, item) => sum + item.channels, 0);
    const others = items.length === 1 ? '' : `, and ${plural(items.length - 1, 'other reason')}`;
    return [`${printable(first.layer)}: ${plural(channels, first.side)} (${printable(first.reason)}${others})`];
  });
}

function printSizes({ before, after }: CompactReport, terminal: Terminal): void {
  const row = (name: string, from: number | null, to: number | null, format: (value: number) => string): string[] => {
    const known = from !== null && to !== null;
    return [
      name,
      known ? format(from) : 'unknown',
      known ? format(to) : 'unknown',
      known ? formatPercent(to / from) : '',
    ];
  };
  const table = renderTable({
    columns: [
      { header: '' },
      { header: 'before', align: 'right' },
      { header: 'after', align: 'right' },
      { header: 'left', align: 'right' },
    ],
    rows: [
      row('parameters', before.parameters, after.parameters, formatCount),
      row('multiply-accumulates', before.macs.dense, after.macs.dense, formatCount),
      row('file', before.bytes, after.bytes, formatBytes),
    ],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print(...table, '');
  const [reason] = [...before.macs.unknown, ...after.macs.unknown];
  if (reason !== undefined) terminal.say(`Multiply-accumulates are unknown: ${printable(reason)}.`);
}

function printComparison({ comparison, output }: CompactReport, terminal: Terminal): void {
  if (comparison === null) {
    terminal.warn(`${printable(output)} was not tried in a runtime, as onnxruntime-node is not installed`);
    return;
  }
  const { batch, difference, largest, latency, problem } = comparison;
  if (problem !== undefined) terminal.warn(`the outputs could not be compared: ${problem}`);
  if (difference !== null && largest !== null) {
    terminal.say(
      `On random input the outputs differ by at most ${formatReal(difference)}, the largest being ${formatReal(largest)}.`,
    );
  }
  if (difference === null && problem === undefined) {
    terminal.say('No output is of finite floats, so only shapes were compared.');
  }
  if (latency === null) return;
  const { before, after, runs } = latency;
  terminal.say(
    `onnxruntime-node takes ${formatSeconds(after)} instead of ${formatSeconds(before)} for a batch of ${batch} ` +
      `(medians of ${runs} runs in turn): ${formatFactor(before / after)} as fast.`,
  );
}
