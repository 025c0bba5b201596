// `secateur artifacts`: the four files that ONNX Runtime's training API takes, made without Python.
import type { Command } from 'commander';
import { type ArtifactParameter, type ArtifactsReport, writeArtifacts } from '../../index.js';
import { formatCount, formatShape, plural, printable } from '../format.js';
import { addOutputOptions, oneOf, outputFile, real, required, texts } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';
import { addLossOptions, type LossOptions, lossOf } from '../training/loss.js';

const EPILOGUE = `
Writes training_model.onnx, eval_model.onnx, optimizer_model.onnx and checkpoint
into the folder, all of them or none, in ONNX Runtime's own layout: its training
API (1.19 was the last release) loads them, and so does openArtifacts() of this
package on the stock onnxruntime-node.

The data goes into the model's inputs and into a new one, labels (cross-entropy:
class indices, int64) or target (float32, in the output's shape). ONNX Runtime
itself starts with the learning rate 0.001, whatever the checkpoint says.

Examples:
  $ secateur artifacts model.onnx --loss cross-entropy -o artifacts/
  $ secateur artifacts model.onnx --loss mse --loss-output depth -o artifacts/
  $ secateur artifacts model.onnx --trainable 'head.*' -o artifacts/
  $ secateur artifacts model.onnx --optimizer sgd --lr 0.01 -o artifacts/

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (no file changed)`;

interface Options extends LossOptions {
  output?: string;
  optimizer?: 'adamw' | 'sgd';
  lr?: number;
  trainable?: string[];
  frozen?: string[];
  alsoOutput?: string[];
  prefix?: string;
  json?: boolean;
  quiet?: boolean;
}

export function addArtifacts(program: Command, run: Runner): void {
  const command = program
    .command('artifacts')
    .summary("write ONNX Runtime's training artifacts of a model")
    .description("Differentiates a model and writes ONNX Runtime's training artifacts.")
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .option('-o, --output <folder>', 'folder to write to; made where it is missing (needed)', outputFile());
  addLossOptions(command)
    .option('--optimizer <name>', 'adamw or sgd (default: adamw)', oneOf('--optimizer', ['adamw', 'sgd']))
    .option('--lr <rate>', 'learning rate for the checkpoint, above 0 (default: 0.001)', real('--lr', 1e-30, 1e6))
    .option('--trainable <glob>', 'train only initializers whose name matches; repeatable', texts())
    .option('--frozen <glob>', 'do not train initializers whose name matches; repeatable', texts())
    .option('--also-output <name>', 'an output to give beside the loss; repeatable', texts())
    .option('--prefix <text>', 'before the names of the files')
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => makeArtifacts(model, options, context)),
  );
}

async function makeArtifacts(model: string, options: Options, { terminal, signal }: CommandContext): Promise<void> {
  const { optimizer = 'adamw', lr, trainable, frozen, alsoOutput, prefix } = options;
  const folder = required(options.output, '-o FOLDER', 'the folder to write to');
  const report = await writeArtifacts(model, folder, {
    ...lossOf(options),
    optimizer: { type: optimizer },
    ...(lr !== undefined && { learningRate: lr }),
    ...(alsoOutput !== undefined && { additionalOutputs: alsoOutput }),
    ...(prefix !== undefined && { prefix }),
    trainable,
    frozen,
    signal,
  });
  terminal.result({ model, output: folder, ...report });
  printParameters(report, terminal);
  printSummary(folder, report, terminal);
}

function printParameters({ trainable, frozen }: ArtifactsReport, terminal: Terminal): void {
  const row = ({ name, shape }: ArtifactParameter, trained: string) => [
    printable(name),
    formatShape(shape),
    formatCount(elementsOf(shape)),
    trained,
  ];
  const table = renderTable({
    columns: [
      { header: 'parameter', shrink: true },
      { header: 'shape', align: 'right', leaves: 1 },
      { header: 'weights', align: 'right' },
      { header: 'trained' },
    ],
    rows: [...trainable.map((each) => row(each, 'yes')), ...frozen.map((each) => row(each, 'no'))],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print(...table, '');
}

function printSummary(folder: string, report: ArtifactsReport, terminal: Terminal): void {
  const weights = report.trainable.reduce((sum, { shape }) => sum + elementsOf(shape), 0);
  const kept = report.frozen.length === 0 ? '' : ` ${plural(report.frozen.length, 'tensor')} stay as they are.`;
  terminal.say(
    `Wrote training artifacts to ${printable(folder)}: ${plural(weights, 'weight')} in ` +
      `${plural(report.trainable.length, 'tensor')} to train with ${report.optimizer}.${kept} Feed ` +
      `${report.inputs.map(printable).join(', ')}; the loss is ${printable(report.loss)}, over ${printable(report.lossOutput)}.`,
  );
}

function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
