// `secateur import`: a network of Darknet, from its .cfg and .weights, as an ONNX file.
import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { type ImportDarknetOptions, importDarknet } from '../../../models/darknet/index.js';
import { inspect } from '../../index.js';
import { writeModel } from '../../onnx/write.js';
import { formatBytes, plural, printable } from '../format.js';
import { readNames } from '../names.js';
import { addOutputOptions, integer, outputFile, required } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { metadataOf } from './new.js';

const EPILOGUE = `
Reads the layers of YOLOv3, YOLOv4 and their tiny forms: convolutional, maxpool,
route, shortcut, upsample and yolo. YOLOv4's weights get the names that
"secateur new yolov4" gives them. Outputs are raw heads; the metadata "heads"
says what they mean.

Examples:
  $ secateur import yolov4.cfg yolov4.weights -o yolov4.onnx --size 416
  $ secateur import yolov4-tiny.cfg yolov4-tiny.weights -o tiny.onnx \\
      --names coco.names`;

interface Options extends Omit<ImportDarknetOptions, 'names'> {
  names?: string;
  output?: string;
  json?: boolean;
  quiet?: boolean;
}

export function addImport(program: Command, run: Runner): void {
  const command = program
    .command('import')
    .summary('read a network of Darknet: .cfg and .weights to ONNX')
    .description('Writes a network of Darknet (AlexeyAB/darknet) as ONNX.')
    .argument('<cfg>', 'the network: a .cfg file')
    .argument('<weights>', 'its numbers: a .weights file')
    .option('-o, --output <file>', 'ONNX file to write (needed)', outputFile())
    .option('--size <n>', 'pixels a side of the input, 1 to 8192 (default: as in the cfg)', integer('--size', 1, 8192))
    .option('--names <file>', 'names of the classes, one a line; kept in the metadata')
    .option('--fold', 'multiply BatchNormalization into the convolutions: to run the model, not to train it')
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((cfg: string, weights: string, options: Options) =>
    run(options, (context) => importNetwork({ cfg, weights }, options, context)),
  );
}

async function importNetwork(
  { cfg, weights }: { cfg: string; weights: string },
  options: Options,
  { terminal, signal }: CommandContext,
): Promise<void> {
  const { fold, size } = options;
  const output = required(options.output, '-o FILE', 'the file to write');
  const names = options.names === undefined ? undefined : await readNames(options.names);
  const { model, convolutions, seen } = importDarknet(cfg, weights, { fold, size, names });
  signal.throwIfAborted();
  await writeModel(output, model);
  const bytes = (await stat(output)).size;
  const { parameters } = await inspect(output);
  const metadata = metadataOf(model);
  terminal.result({ cfg, weights, output, convolutions, parameters, bytes, seen, metadata });
  terminal.say(
    `Wrote ${printable(output)}: ${plural(convolutions, 'convolution')}, ${plural(parameters, 'parameter')}, ` +
      `${formatBytes(bytes)}.`,
  );
}
