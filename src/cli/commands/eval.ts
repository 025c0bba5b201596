// `secateur eval`: what a model is worth on data.
import type { Command } from 'commander';
import { evaluate, openDataset } from '../../index.js';
import { formatCount, formatPercent, formatReal, printable } from '../format.js';
import { addOutputOptions, oneOf, required, threadsOption } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { lossOf } from '../training/loss.js';
import { addDataOptions, type TrainingOptions, wholeSet } from '../training/options.js';

const EPILOGUE = `
Examples:
  $ secateur eval model.onnx --data mnist
  $ secateur eval model.onnx --data mnist --split train --json | jq .accuracy`;

interface Options extends TrainingOptions {
  split?: 'train' | 'test';
}

export function addEval(program: Command, run: Runner): void {
  const command = program
    .command('eval')
    .summary('measure loss and accuracy of a model on data')
    .description('Measures the loss of a model on labelled data, and its accuracy where the labels are classes.')
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .option('--split <split>', 'test or train (default: test)', oneOf('--split', ['test', 'train']));
  addDataOptions(command).addOption(threadsOption()).addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => evaluateModel(model, options, context)),
  );
}

async function evaluateModel(model: string, options: Options, context: CommandContext): Promise<void> {
  const location = required(options.data, '--data WHERE', 'the data to measure with, such as digits or a folder');
  const { terminal, progress, signal } = context;
  const dataset = await openDataset(location, options.split ?? 'test');
  const result = await evaluate(model, wholeSet(dataset), {
    ...lossOf(options),
    ...(options.threads !== undefined && { threads: options.threads }),
    signal,
    onProgress: (done, total) => progress.update('evaluating', done, total ?? done, 'steps'),
  });
  progress.stop();
  terminal.result(result);
  const accuracy = result.accuracy === null ? '' : `, accuracy ${formatPercent(result.accuracy)}`;
  const samples = `${formatCount(result.samples)} samples of ${printable(dataset.name)}`;
  terminal.say(`${printable(model)}: loss ${formatReal(result.loss)}${accuracy}, on ${samples}.`);
}
