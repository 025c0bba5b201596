// `secateur bench`: a group of two commands that measure this machine.
import type { Command } from 'commander';
import type { Runner } from '../run.js';
import { addBenchPrune } from './bench-prune.js';
import { addBenchSelect } from './bench-select.js';

export function addBench(program: Command, run: Runner): void {
  const bench = program
    .command('bench')
    .summary('measure selection and pruning on this machine')
    .description('Measures selection and pruning on this machine, as ratios to what the hardware can do at best.')
    .helpCommand(false);
  addBenchSelect(bench, run);
  addBenchPrune(bench, run);
}
