// `secateur new`: writes one of the three architectures of the paper as ONNX, with seeded initial weights.
import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { type ModelName, modelNames, type NewModelOptions, newModel } from '../../../models/index.js';
import { inspect } from '../../index.js';
import { addon } from '../../native/addon.js';
import type { ModelProto } from '../../onnx/schema/onnx_pb.js';
import { writeModel } from '../../onnx/write.js';
import { formatBytes, plural, printable } from '../format.js';
import { addOutputOptions, integer, outputFile, required } from '../options.js';
import type { CommandContext, Runner } from '../run.js';

const EPILOGUE = `
Models:
  lenet5    Caffe's shape, for 28x28 digits: 430,500 weights. --classes
  resnet56  for 32x32 images (CIFAR-10), about 0.85 M. --classes, --depth
  yolov4    detector, about 64 M; --tiny 6 M. --classes, --size, --tiny
The weights are initial values, not trained ones; the same seed gives the same
bytes on every machine.

Examples:
  $ secateur new lenet5 -o lenet5.onnx
  $ secateur new yolov4 -o yolov4.onnx --size 608 --seed 7
  $ secateur new resnet56 -o resnet110.onnx --depth 110`;

interface Options extends NewModelOptions {
  output?: string;
  json?: boolean;
  quiet?: boolean;
}

export function addNew(program: Command, run: Runner): void {
  const command = program
    .command('new')
    .summary('write a LeNet-5, ResNet-56 or YOLOv4 with initial weights')
    .description('Writes one of three architectures as ONNX, with seeded initial weights.')
    .argument('<name>', modelNames.join(', '))
    .option('-o, --output <file>', 'ONNX file to write (needed)', outputFile())
    .option('--seed <n>', 'seed of the weights, 0 or more (default: 0)', natural('--seed'))
    .option('--classes <n>', 'number of classes, 1 to 65536 (default: 10; yolov4: 80)', natural('--classes'))
    .option('--size <n>', 'yolov4: pixels a side, a multiple of 32 to 8192 (default: 416)', natural('--size'))
    .option('--depth <n>', 'resnet56: layers, 6n + 2 from 8 to 1202 (default: 56)', natural('--depth'))
    .option('--tiny', 'yolov4: make YOLOv4-tiny')
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((name: string, options: Options) =>
    run(options, (context) => createModel(name, options, context)),
  );
}

/** The ranges are checked by the model itself, which knows them best. */
function natural(option: string): (text: string) => number {
  return (text) => integer(option, 0, Number.MAX_SAFE_INTEGER)(text, undefined);
}

async function createModel(name: string, options: Options, { terminal, signal }: CommandContext): Promise<void> {
  const { output: _, json: __, quiet: ___, ...shape } = options;
  const output = required(options.output, '-o FILE', 'the file to write');
  const { fillNormal } = addon();
  // newModel names the known models when it is given another.
  const model = newModel(name as ModelName, shape, fillNormal);
  signal.throwIfAborted();
  await writeModel(output, model);
  const bytes = (await stat(output)).size;
  const { parameters } = await inspect(output);
  terminal.result({ model: name, output, parameters, bytes, metadata: metadataOf(model) });
  terminal.say(`Wrote ${printable(output)}: ${plural(parameters, 'parameter')}, ${formatBytes(bytes)}.`);
}

/** The metadata of a model by key. */
export function metadataOf(model: ModelProto): Record<string, string> {
  return Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));
}
