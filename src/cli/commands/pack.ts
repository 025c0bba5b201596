// `secateur pack`: makes a model's file as small as its zeros allow, in a form that stock runtimes load.
import { type Command, Option } from 'commander';
import { type PackedValues, type PackFormat, pack } from '../../index.js';
import { addOutputOptions, oneOf, outputFile, required, threadsOption } from '../options.js';
import { printPacked } from '../packing.js';
import type { CommandContext, Runner } from '../run.js';

const EPILOGUE = `
--format packed  positions and values as short streams, with standard operators
                 that unpack them when a runtime loads the model (opset >= 13)
         sparse  ONNX's sparse initializers
--values f32       every bit as before (default)
         f16       parameters of layers rounded to float16
         codebook8 weights as one of 256 values (k-means), biases as float16
Each tensor is stored in the smallest way; dense where that is smallest. The
output is loaded in onnxruntime-node, where that is installed, before it gets
its name. docs/pack.md has the format.

Examples:
  $ secateur pack pruned.onnx -o small.onnx
  $ secateur pack pruned.onnx -o small.onnx --values f16
  $ secateur pack pruned.onnx -o small.onnx --format sparse
  $ secateur unpack small.onnx -o dense.onnx`;

interface Options {
  output?: string;
  format?: PackFormat;
  values?: PackedValues;
  threads?: number;
  json?: boolean;
  quiet?: boolean;
}

/** `--values`, the same everywhere. */
export function valuesOption(): Option {
  return new Option('--values <form>', 'f32, f16 or codebook8 (default: f32)').argParser(
    oneOf('--values', ['f32', 'f16', 'codebook8']),
  );
}

export function addPack(program: Command, run: Runner): void {
  const command = program
    .command('pack')
    .summary('make a pruned model small: packed or sparse')
    .description('Stores the weights of a model by what is not zero, in a form that stock runtimes load.')
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .option('-o, --output <file>', 'ONNX file to write; may be the input (needed)', outputFile())
    .addOption(
      new Option('--format <format>', 'packed or sparse (default: packed)').argParser(
        oneOf('--format', ['packed', 'sparse']),
      ),
    )
    .addOption(valuesOption())
    .addOption(threadsOption())
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => packModel(model, options, context)),
  );
}

async function packModel(
  model: string,
  options: Options,
  { terminal, progress, signal }: CommandContext,
): Promise<void> {
  const { json: _, quiet: __, ...work } = options;
  const output = required(options.output, '-o FILE', 'the file to write');
  const onProgress: Parameters<typeof pack>[1]['onProgress'] = ({ phase, done, total }) =>
    progress.update(phase, done, total);
  const report = await pack(model, { ...work, output, signal, onProgress });
  progress.stop();
  terminal.result(report);
  printPacked(report, terminal);
}
