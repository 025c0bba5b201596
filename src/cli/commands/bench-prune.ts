// `secateur bench prune`: pruning a large checkpoint against `cp` of the same files.
import { tmpdir } from 'node:os';
import type { Command } from 'commander';
import { addon } from '../../native/addon.js';
import { benchmarkPrune, type PruneBenchResult } from '../bench/prune.js';
import { formatBytes, formatFactor, formatSeconds, plural } from '../format.js';
import { addOutputOptions, bytes, integer, ratio, threadsOption } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';

const EPILOGUE = `
Makes a model with that many bytes of normal weights in one external data
file, reads it once so that it lies in the cache, then times alternately
  cp     a copy of the files, as data (--reflink=never with GNU cp)
  prune  the work of "secateur prune --json", its own seconds.total;
         the whole process, with the start of Node, is given beside it
and prints the medians; a first round is not counted, and the disk is synced
before each. Needs free space for the model twice, and as much free memory for
the cache. Removes what it made, also after Ctrl-C.

Other work on the machine and a slow disk disturb both times: a folder in
memory (/dev/shm) shows the work alone.

Memory is the highest RssAnon of the pruning process, read from
/proc/PID/status every 3 ms: what it allocated, without the mapped files,
which the kernel can drop. Not known outside Linux (null in the JSON).

Examples:
  $ secateur bench prune
  $ secateur bench prune --bytes 500MB --dir /dev/shm --json`;

interface Options {
  bytes: number;
  dir?: string;
  ratio?: number;
  threads?: number;
  repeats: number;
  json?: boolean;
  quiet?: boolean;
}

export function addBenchPrune(bench: Command, run: Runner): void {
  const command = bench
    .command('prune')
    .summary('pruning a large checkpoint against cp')
    .description('Times the pruning of a large checkpoint against cp of the same files, and watches its memory.')
    .option(
      '--bytes <n>',
      'size of the weights: 4e9, 4GB or 512MiB; 64 kB to 1 TB',
      bytes('--bytes', 65_536, 1e12),
      4e9,
    )
    .option('--dir <folder>', 'a folder with room for the model twice (default: the one for temporary files)')
    .option('-r, --ratio <number>', 'removal ratio, [0, 1) (default: 0.9)', ratio('--ratio'))
    .addOption(threadsOption())
    .option('--repeats <n>', 'runs a median is taken of, 1 to 1000', integer('--repeats', 1, 1000), 5)
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((options: Options) => run(options, (context) => benchPrune(options, context)));
}

async function benchPrune(options: Options, { terminal, progress, signal }: CommandContext): Promise<void> {
  const result = await benchmarkPrune(addon(), {
    bytes: options.bytes,
    ratio: options.ratio ?? 0.9,
    threads: options.threads,
    folder: options.dir ?? tmpdir(),
    repeats: options.repeats,
    signal,
    progress: (phase, done, total, unit) => progress.update(phase, done, total, unit),
    warn: (sentence) => terminal.warn(sentence),
  });
  progress.stop();
  terminal.result(result);
  print(result, terminal);
}

function print(result: PruneBenchResult, terminal: Terminal): void {
  const { seconds } = result;
  const row = (name: string, value: number): string[] => [
    name,
    formatSeconds(value),
    `${formatBytes(result.bytes / value)}/s`,
    formatFactor(value / seconds.copy),
  ];
  terminal.say(
    `${formatBytes(result.bytes)} of model, ratio ${result.ratio}, medians of ${plural(result.repeats, 'run')}.`,
  );
  const table = renderTable({
    columns: [
      { header: '', shrink: true },
      { header: 'time', align: 'right' },
      { header: 'speed', align: 'right', leaves: 1 },
      { header: 'x cp', align: 'right' },
    ],
    rows: [row('cp', seconds.copy), row('prune', seconds.prune), row('prune, whole process', seconds.pruneProcess)],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print('', ...table, '');
  terminal.say(
    result.rssAnonBytes === null
      ? 'Anonymous memory of the pruning process: not known on this system.'
      : `Anonymous memory of the pruning process: ${formatBytes(result.rssAnonBytes)} at most (RssAnon).`,
  );
}
