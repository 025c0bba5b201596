// The options of a loss behind a model's output, shared by all commands that need one, and shapes for models that leave
// them open.
import type { Command } from 'commander';
import { invalidOption } from '../../errors.js';
import type { InputShapes } from '../../index.js';
import type { Loss } from '../../training/evaluable.js';
import { readWholeModel } from '../../training/model-file.js';
import { oneOf } from '../options.js';

const types = {
  'cross-entropy': 'crossEntropy',
  mse: 'mse',
  l1: 'l1',
  'bce-with-logits': 'bceWithLogits',
} as const;

type LossName = keyof typeof types;

export interface LossOptions {
  /** A name, or the path of a loss as ONNX. */
  loss?: string;
  lossOutput?: string;
  labelSmoothing?: number;
  shape?: InputShapes;
}

const lossNames = Object.keys(types) as LossName[];

/** `--loss`, `--loss-output` and `--shape`. */
export function addLossOptions(command: Command): Command {
  const about = `${lossNames.join(', ')}, or the .onnx file of a loss (default: cross-entropy)`;
  return command
    .option('--loss <loss>', about, lossName)
    .option('--loss-output <name>', 'the output to compare with the labels (default: the only one)')
    .option('--shape <input=sizes>', 'shape of an input, batch of 2 or more first; repeatable', inputShape);
}

/** The library's options. */
export function lossOf({ loss = 'cross-entropy', labelSmoothing, lossOutput, shape }: LossOptions) {
  return {
    loss: chosenLoss(loss, labelSmoothing),
    ...(lossOutput !== undefined && { lossOutput }),
    ...(shape !== undefined && { inputShapes: shape }),
  };
}

function chosenLoss(loss: string, labelSmoothing: number | undefined): Loss {
  const type = lossNames.includes(loss as LossName) ? types[loss as LossName] : undefined;
  if (labelSmoothing && type !== 'crossEntropy')
    throw invalidOption('--label-smoothing', 'used with cross-entropy', loss);
  if (type === undefined) return { type: 'graph', model: readWholeModel(loss) };
  return type === 'crossEntropy' && labelSmoothing ? { type, labelSmoothing } : type;
}

function lossName(text: string): string {
  return text.endsWith('.onnx') ? text : oneOf('--loss', lossNames)(text, undefined);
}

function inputShape(text: string, previous: InputShapes | undefined): InputShapes {
  const match = /^(.+)=(\d+(?:[x,]\d+)*)$/.exec(text);
  const sizes = match?.[2]?.split(/[x,]/).map(Number);
  if (match?.[1] === undefined || sizes === undefined) {
    throw invalidOption('--shape', 'an input and its sizes, such as input=2x3x224x224', text);
  }
  return { ...previous, [match[1]]: sizes };
}
