// `secateur grad`: the graph of a model's gradients, to look at and to run.
import type { Command } from 'commander';
import { type GradientReport, writeGradient } from '../../index.js';
import { formatShape, plural, printable } from '../format.js';
import { addOutputOptions, outputFile, required, texts } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';
import { addLossOptions, type LossOptions, lossOf } from '../training/loss.js';

const EPILOGUE = `
The file is an ordinary ONNX model of standard operators (and a few of ONNX
Runtime's) that gives the loss and the gradients. Parameters stay inside it:
feed the inputs and labels (or target). BatchNormalization and Dropout are in
training mode.

Examples:
  $ secateur grad model.onnx --wrt '*weight*' -o gradient.onnx
  $ secateur grad model.onnx --wrt input --loss mse -o saliency.onnx

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (no file changed)`;

interface Options extends LossOptions {
  output?: string;
  wrt?: string[];
  json?: boolean;
  quiet?: boolean;
}

export function addGrad(program: Command, run: Runner): void {
  const command = program
    .command('grad')
    .summary('write the graph of gradients of a model')
    .description('Differentiates a loss of a model, and writes the result as an ONNX model.')
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .option('-o, --output <file>', 'ONNX file to write (needed)', outputFile())
    .option('--wrt <glob>', 'initializers or inputs to differentiate with respect to; repeatable (needed)', texts());
  addLossOptions(command).addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => differentiate(model, options, context)),
  );
}

async function differentiate(model: string, options: Options, { terminal, signal }: CommandContext): Promise<void> {
  const output = required(options.output, '-o FILE', 'the file to write');
  const wrt = required(options.wrt, '--wrt GLOB', "what to differentiate with respect to, such as '*weight*'");
  const report = await writeGradient(model, { ...lossOf(options), wrt, output, signal });
  terminal.result({ model, ...report });
  printReport(report, terminal);
}

function printReport({ output, inputs, loss, gradients, nodes }: GradientReport, terminal: Terminal): void {
  const table = renderTable({
    columns: [
      { header: 'with respect to', shrink: true },
      { header: 'shape', align: 'right' },
      { header: 'output', shrink: false, leaves: 1 },
    ],
    rows: gradients.map(({ of, name, shape }) => [printable(of), formatShape(shape), printable(name)]),
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print(...table, '');
  terminal.say(
    `Wrote ${printable(output)}: ${plural(nodes.all, 'node')}, ${nodes.forward} of them forward. Feed ` +
      `${inputs.map(printable).join(', ')}; the loss is ${printable(loss)}.`,
  );
}
