// `secateur train`: trains a model on data, on the stock ONNX Runtime.
import type { Command } from 'commander';
import { train } from '../../index.js';
import { addOutputOptions, integer } from '../options.js';
import type { Runner } from '../run.js';
import { addTrainingOptions, rateOf, type TrainingOptions } from '../training/options.js';
import { runTraining } from '../training/run.js';

const EPILOGUE = `
Differentiates the model itself and runs the gradients on the stock
onnxruntime-node: no training build is needed. Progress is kept in
OUTPUT.checkpoint until the run is done; after an interrupt the same command
with --resume goes on with the losses of an uninterrupted run. Equal seeds and
numbers of threads give equal bits.

Examples:
  $ secateur new lenet5 -o lenet5.onnx
  $ secateur train lenet5.onnx --data digits --epochs 2 -o trained.onnx
  $ secateur train lenet5.onnx --data mnist --augment crop:1 --average 0.999 -o trained.onnx
  $ secateur train pruned.onnx --data mnist --keep-zeros --lr 3e-4 -o better.onnx`;

interface Options extends TrainingOptions {
  epochs?: number;
  keepZeros?: boolean;
}

export function addTrain(program: Command, run: Runner): void {
  const command = program
    .command('train')
    .summary('train a model on data')
    .description('Trains the float32 parameters of an ONNX model on labelled data.')
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .option('--epochs <n>', 'passes over the data (default: 10)', integer('--epochs', 0, 1e6))
    .option('--keep-zeros', 'zeros of prunable weights stay zero');
  addTrainingOptions(command).addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) =>
      runTraining(model, options, context, (trainer, batches, settings) =>
        train(trainer, batches, {
          ...settings,
          epochs: options.epochs ?? 10,
          learningRate: rateOf(options),
          keepZeros: options.keepZeros ?? false,
        }),
      ),
    ),
  );
}
