// `secateur unpack`: makes packed and sparse weights dense again.
import type { Command } from 'commander';
import { unpack } from '../../index.js';
import { plural } from '../format.js';
import { addOutputOptions, outputFile, required, threadsOption } from '../options.js';
import { describeResult } from '../packing.js';
import type { CommandContext, Runner } from '../run.js';

const EPILOGUE = `
What was packed with --values f32, or as sparse, comes back bit for bit; what
was rounded comes back as it was rounded.

Examples:
  $ secateur unpack small.onnx -o dense.onnx`;

interface Options {
  output?: string;
  threads?: number;
  json?: boolean;
  quiet?: boolean;
}

export function addUnpack(program: Command, run: Runner): void {
  const command = program
    .command('unpack')
    .summary('make a packed or sparse model dense')
    .description('Writes a packed or sparse model with dense weights.')
    .argument('<model>', 'ONNX file that was packed, or has sparse initializers')
    .option('-o, --output <file>', 'ONNX file to write; may be the input (needed)', outputFile())
    .addOption(threadsOption())
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => unpackModel(model, options, context)),
  );
}

async function unpackModel(
  model: string,
  { output: asked, threads }: Options,
  { terminal, progress, signal }: CommandContext,
): Promise<void> {
  const output = required(asked, '-o FILE', 'the file to write');
  const onProgress: Parameters<typeof unpack>[1]['onProgress'] = ({ phase, done, total }) =>
    progress.update(phase, done, total);
  const report = await unpack(model, { output, threads, signal, onProgress });
  progress.stop();
  terminal.result(report);
  terminal.say(`Made ${plural(report.tensors.length, 'tensor')} dense. ${describeResult(output, report)}`);
}
