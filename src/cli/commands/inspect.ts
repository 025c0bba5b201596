// `secateur inspect`: what is in a model, what would be pruned, and what would not and why.
import type { Command } from 'commander';
import { type InspectReport, inspect, type ModelSizes, modelSizes } from '../../index.js';
import { formatBytes, formatCount, formatPercent, formatShape, plural, printable } from '../format.js';
import { describeMacs } from '../macs.js';
import { addOutputOptions, texts, threadsOption } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { printSkipped } from '../skipped.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';

const EPILOGUE = `
Prunable is the weight of a Conv, ConvTranspose, Gemm or MatMul. Biases,
normalisation and everything else stay as they are.

Examples:
  $ secateur inspect model.onnx
  $ secateur inspect model.onnx --exclude 'head.*' --json | jq .prunable[].name`;

interface Options {
  include?: string[];
  exclude?: string[];
  threads?: number;
  json?: boolean;
  quiet?: boolean;
}

export function addInspect(program: Command, run: Runner): void {
  const command = program
    .command('inspect')
    .summary('list what is prunable in a model, and what is not and why')
    .description('Lists the prunable weights of a model with their sparsity, and what is skipped and why.')
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .option('--include <glob>', 'also take tensors whose name matches; repeatable', texts())
    .option('--exclude <glob>', 'leave out tensors whose name matches; repeatable', texts())
    .addOption(threadsOption())
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => inspectModel(model, options, context)),
  );
}

async function inspectModel(
  model: string,
  options: Options,
  { terminal, progress, signal }: CommandContext,
): Promise<void> {
  const { json: _, quiet: __, ...selection } = options;
  const report = await inspect(model, {
    ...selection,
    signal,
    onProgress: ({ phase, done, total }) => progress.update(phase, done, total),
  });
  const bytes = await modelSizes(model, { signal });
  progress.stop();
  terminal.result({ ...report, bytes });
  printReport(report, terminal);
  terminal.say(describeSizes(bytes));
}

function printReport(report: InspectReport, terminal: Terminal): void {
  const weights = report.prunable.reduce((sum, tensor) => sum + tensor.weights, 0);
  const zeros = report.prunable.reduce((sum, tensor) => sum + tensor.zeros, 0);
  const table = renderTable({
    columns: [
      { header: 'tensor', shrink: true },
      { header: 'used by', leaves: 2 },
      { header: 'shape', align: 'right', leaves: 1 },
      { header: 'type', leaves: 3 },
      { header: 'weights', align: 'right' },
      { header: 'zeros', align: 'right' },
      { header: 'sparsity', align: 'right' },
    ],
    rows: report.prunable.map((tensor) => [
      printable(tensor.name),
      tensor.op,
      formatShape(tensor.shape),
      tensor.dtype,
      formatCount(tensor.weights),
      formatCount(tensor.zeros),
      formatPercent(tensor.sparsity),
    ]),
    footer: [
      plural(report.prunable.length, 'tensor'),
      '',
      '',
      '',
      formatCount(weights),
      formatCount(zeros),
      formatPercent(weights === 0 ? 0 : zeros / weights),
    ],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print(...table, '');
  printSkipped(report.skipped, terminal);
  terminal.say(
    `${printable(report.model)}: opset ${report.opset ?? 'unknown'}, ${plural(report.parameters, 'parameter')}, ` +
      `${formatPercent(report.parameters === 0 ? 0 : weights / report.parameters)} of them prunable; ` +
      `${describeMacs(report.macs)}.`,
  );
}

/** What zip and `secateur pack` would make of the file. */
function describeSizes({ file, zipped, sparse, packed }: ModelSizes): string {
  const small = packed === null ? '' : `, packed ${formatBytes(packed)}`;
  const zip = zipped === null ? '' : `zipped about ${formatBytes(zipped)}, `;
  return `File ${formatBytes(file)}; ${zip}sparse about ${formatBytes(sparse)}${small} (secateur pack).`;
}
