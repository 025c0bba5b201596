// `secateur bench`: a group of three commands that measure this machine.
import type { Command } from 'commander';
import type { Runner } from '../run.js';
import { addBenchPrune } from './bench-prune.js';
import { addBenchSelect } from './bench-select.js';
import { addBenchTrain } from './bench-train.js';

export function addBench(program: Command, run: Runner): void {
  const bench = program
    .command('bench')
    .summary('measure selection, pruning and training on this machine')
    .description(
      'Measures selection, pruning and training on this machine, as ratios to the hardware and to other libraries.',
    )
    .helpCommand(false);
  addBenchSelect(bench, run);
  addBenchPrune(bench, run);
  addBenchTrain(bench, run);
}
