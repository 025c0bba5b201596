// `secateur eval`: what a model is worth on data.
import type { Command } from 'commander';
import { evaluate, evaluateDetection, openDataset, openDetection } from '../../index.js';
import { classTable, sizeTable } from '../detection-table.js';
import { formatCount, formatPercent, formatReal, plural, printable } from '../format.js';
import { addOutputOptions, integer, oneOf, real, required, threadsOption } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { addTaskOptions, checkTask } from '../training/detection-options.js';
import { lossOf } from '../training/loss.js';
import { addDataOptions, type TrainingOptions, wholeSet } from '../training/options.js';

const EPILOGUE = `
Detection: pictures are scaled to fit the model's input; boxes with scores from
--score on count, after non-maximum suppression at an overlap of --iou, at most
--top a picture. AP, AP50 and the rest are COCO's, by pycocotools' rules, which
count no more than 100 boxes of a class in a picture.

Examples:
  $ secateur eval model.onnx --data mnist
  $ secateur eval model.onnx --data mnist --split train --json | jq .accuracy
  $ secateur eval yolov4.onnx --task detection --data coco128 --per-class`;

interface Options extends TrainingOptions {
  split?: 'train' | 'test';
  perClass?: boolean;
  score?: number;
  iou?: number;
  top?: number;
}

export function addEval(program: Command, run: Runner): void {
  const command = program
    .command('eval')
    .summary('measure a model on data: loss and accuracy, or the precision of a detector')
    .description(
      'Measures the loss of a model on labelled data, and its accuracy where the labels are classes; of a detector, ' +
        "COCO's average precision.",
    )
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .option('--split <split>', 'test or train (default: test)', oneOf('--split', ['test', 'train']));
  addTaskOptions(addDataOptions(command))
    .option('--batch <n>', 'samples at a time (default: 250, of detection 8)', integer('--batch', 1, 2 ** 31))
    .option('--per-class', 'of detection: also the precision of each class')
    .option('--score <number>', 'of detection: least score, [0, 0.9999] (default: 0.001)', real('--score', 0, 0.9999))
    .option(
      '--iou <number>',
      'of detection: of boxes of a class that overlap more, one stays; [0, 1] (default: 0.6)',
      real('--iou', 0, 1),
    )
    .option('--top <n>', 'of detection: at most so many boxes a picture (default: 100)', integer('--top', 1, 1e6))
    .addOption(threadsOption())
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, options: Options) =>
    run(options, (context) => {
      checkTask(options);
      return (options.task === 'detection' ? evaluateDetector : evaluateModel)(model, options, context);
    }),
  );
}

async function evaluateModel(model: string, options: Options, context: CommandContext): Promise<void> {
  const location = required(options.data, '--data WHERE', 'the data to measure with, such as digits or a folder');
  const { terminal, progress, signal } = context;
  const dataset = await openDataset(location, options.split ?? 'test');
  const result = await evaluate(model, wholeSet(dataset, options.batch), {
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

async function evaluateDetector(model: string, options: Options, context: CommandContext): Promise<void> {
  const location = required(options.data, '--data WHERE', 'pictures with boxes, such as coco128 or a folder of COCO');
  const { terminal, progress, signal } = context;
  const { size, batch, threads, perClass = false, score, iou, top } = options;
  const dataset = await openDetection(location, options.split ?? 'test');
  const result = await evaluateDetection(model, dataset, {
    ...(size !== undefined && { size }),
    ...(batch !== undefined && { batchSize: batch }),
    ...(threads !== undefined && { threads }),
    ...(score !== undefined && { scoreThreshold: score }),
    ...(iou !== undefined && { iouThreshold: iou }),
    ...(top !== undefined && { maxDetections: top }),
    signal,
    onProgress: (done, pictures) => progress.update('evaluating', done, pictures, 'steps'),
  });
  progress.stop();
  const { categories, ...metrics } = result;
  terminal.result(perClass ? result : metrics);
  const share = (value: number | null) => (value === null ? 'none' : formatPercent(value));
  const pictures = `${plural(result.pictures, 'picture')} of ${printable(dataset.name)} at ${result.size}x${result.size}`;
  terminal.say(`${printable(model)}: AP ${share(result.ap)}, AP50 ${share(result.ap50)}, on ${pictures}.`);
  terminal.print('', ...sizeTable(result, terminal));
  if (perClass) terminal.print('', ...classTable(categories, terminal));
}
