// The options of `--task detection`.
import { type Command, Option } from 'commander';
import { invalidOption } from '../../errors.js';
import { integer, oneOf, real } from '../options.js';

export interface DetectionOptions {
  task?: 'classification' | 'detection';
  size?: number;
  boxGain?: number;
  objectnessGain?: number;
  classGain?: number;
  matchThreshold?: number;
  measureEvery?: number;
}

/** `--task`, the same everywhere. */
export function taskOption(begin = ''): Option {
  return new Option('--task <task>', `${begin}classification or detection (default: classification)`).argParser(
    oneOf('--task', ['classification', 'detection']),
  );
}

/** `--task` and what measuring and training of detectors share. */
export function addTaskOptions(command: Command): Command {
  return command
    .addOption(taskOption())
    .option('--size <pixels>', "of detection: the input's side (default: the model's)", integer('--size', 32, 8192));
}

export function addDetectionOptions(command: Command): Command {
  return addTaskOptions(command)
    .option('--box-gain <number>', 'of detection: weight of the boxes (default: 5)', real('--box-gain', 0, 1e6))
    .option('--objectness-gain <number>', 'of detection (default: 1)', real('--objectness-gain', 0, 1e6))
    .option('--class-gain <number>', 'of detection (default: 1)', real('--class-gain', 0, 1e6))
    .option(
      '--match-threshold <iou>',
      'of detection: anchors that fit a box this well answer for it too (default: 0.213)',
      real('--match-threshold', 1e-6, 1),
    )
    .option(
      '--measure-every <n>',
      'of detection: epochs between two measurements of AP (default: 20)',
      integer('--measure-every', 1, 1e6),
    );
}

/** Options that mean something to one task only. */
const only = {
  classification: ['loss', 'lossOutput', 'shape', 'labelSmoothing'],
  detection: [
    ...(['size', 'boxGain', 'objectnessGain', 'classGain', 'matchThreshold', 'measureEvery'] as const),
    ...(['perClass', 'score', 'iou', 'top'] as const),
  ],
} as const;

/** @throws SecateurError INVALID_OPTION where an option belongs to the other task. */
export function checkTask(options: { readonly task?: 'classification' | 'detection' }): void {
  const { task = 'classification' } = options;
  const other = task === 'detection' ? 'classification' : 'detection';
  for (const name of only[other]) {
    if (!(name in options)) continue;
    throw invalidOption(flag(name), `used with --task ${other}`, `--task ${task}`);
  }
}

function flag(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
