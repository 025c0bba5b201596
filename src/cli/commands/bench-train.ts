// `secateur bench train`: training steps against PyTorch on the same network.
import type { Command } from 'commander';
import { invalidOption } from '../../errors.js';
import { TRAIN_MODELS, type TrainModel } from '../bench/subject.js';
import { benchmarkTrain, type TrainResult } from '../bench/train.js';
import { formatFactor } from '../format.js';
import { addOutputOptions, integer, oneOf, threadsOption } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';

const EPILOGUE = `
Takes steps of SGD with momentum on random pixels, in rounds: one of ours, one
of PyTorch's on the same network with as many threads, where a python3 on PATH
has torch. The first round of each is not counted; times are medians. Detectors
have seven random boxes a picture and the same loss on the same targets.
  step             from one step to the next, as a caller of the trainer sees it
  outside runtime  part of it that is not spent inside ONNX Runtime
  optimizer        SGD with momentum and ADMM on --elements weights: bytes moved
                   a second, against reading and writing in place

Examples:
  $ secateur bench train
  $ secateur bench train --model resnet56 --rounds 3 --steps 2 --json
  $ secateur bench train --model yolov4-tiny --size 256 --batch 8`;

interface Options {
  model: TrainModel;
  size?: number;
  batch?: number;
  threads?: number;
  rounds: number;
  steps?: number;
  elements: number;
  peers: boolean;
  json?: boolean;
  quiet?: boolean;
}

export function addBenchTrain(bench: Command, run: Runner): void {
  const command = bench
    .command('train')
    .summary('training steps against PyTorch')
    .description('Times training steps against PyTorch on the same network, and the optimizer against memory.')
    .option('--model <name>', `${TRAIN_MODELS.join(', ')}`, oneOf('--model', TRAIN_MODELS), 'lenet5')
    .option(
      '--batch <n>',
      'samples a step, 2 to 4096 (default: 64; 128 for resnet, 8 for yolov4)',
      integer('--batch', 2, 4096),
    )
    .option(
      '--size <pixels>',
      "of yolov4: the input's side, a multiple of 32 (default: 256 for yolov4-tiny, 96 for yolov4)",
      integer('--size', 32, 8192),
    )
    .addOption(threadsOption())
    .option('--rounds <n>', 'rounds of each, 1 to 1000', integer('--rounds', 1, 1000), 5)
    .option('--steps <n>', 'steps a round, 1 to 10000 (default: 40; 3 for others)', integer('--steps', 1, 10_000))
    .option(
      '--elements <n>',
      "weights of the optimizer's measurement, 1 to 1e10",
      integer('--elements', 1, 1e10),
      25_000_000,
    )
    .option('--no-peers', 'leave out PyTorch')
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((options: Options) => run(options, (context) => benchTrain(options, context)));
}

function usualBatch(model: TrainModel): number {
  if (model === 'lenet5') return 64;
  return model.startsWith('yolov4') ? 8 : 128;
}

async function benchTrain(options: Options, { terminal, progress, signal }: CommandContext): Promise<void> {
  const { model, threads = 0, rounds, elements, peers, size } = options;
  const detects = model.startsWith('yolov4');
  if (size !== undefined && !detects) throw invalidOption('--size', 'used with yolov4', `--model ${model}`);
  const small = model === 'lenet5';
  const result = await benchmarkTrain({
    ...{ model, threads, rounds, elements, peers, size, signal },
    batch: options.batch ?? usualBatch(model),
    steps: options.steps ?? (small ? 40 : 3),
    leftOut: (sentence) => terminal.note(sentence),
    progress: (phase, done, total) => progress.update(phase, done, total, 'steps'),
  });
  progress.stop();
  terminal.result(result);
  print(result, terminal);
}

function print(result: TrainResult, terminal: Terminal): void {
  const { model, batch, size, threads, stepMs, outsideRuntimeShare, peers, rateToTorch, optimizer } = result;
  const row = (name: string, ms: number) => [
    name,
    `${ms.toFixed(2)} ms`,
    ((1000 * batch) / ms).toFixed(0),
    formatFactor(stepMs / ms),
  ];
  const side = size === null ? '' : `${size}x${size}, `;
  terminal.say(`${model}, ${side}batch ${batch}, ${threads} threads, medians.`);
  const table = renderTable({
    columns: [
      { header: '', shrink: true },
      { header: 'step', align: 'right' },
      { header: 'samples/s', align: 'right', leaves: 1 },
      { header: 'rate', align: 'right' },
    ],
    rows: [row('secateur', stepMs), ...(peers.torch ? [row(`torch ${peers.torch.version}`, peers.torch.stepMs)] : [])],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print('', ...table, '');
  if (rateToTorch !== null) terminal.say(`${formatFactor(rateToTorch)} the rate of PyTorch.`);
  terminal.say(`Outside the runtime: ${(100 * outsideRuntimeShare).toFixed(1)}% of a step.`);
  terminal.say(
    `Optimizer with ADMM: ${optimizer.gbPerSecond.toFixed(1)} GB/s, ${formatFactor(optimizer.toCopy)} of reading and writing in place.`,
  );
}
