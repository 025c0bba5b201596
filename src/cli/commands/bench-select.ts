// `secateur bench select`: the exact selection against one plain read of the same memory, and against other libraries.
import { totalmem } from 'node:os';
import type { Command } from 'commander';
import { invalidOption } from '../../errors.js';
import type { Distribution, DType } from '../../native/contract.js';
import { chooseDevice, type DeviceChoice, probeDevice } from '../../native/device.js';
import {
  BYTES_PER_ELEMENT,
  benchmarkSelect,
  DISTRIBUTIONS,
  DTYPES,
  type SelectBenchmark,
  type SelectResult,
} from '../bench/select.js';
import { formatBytes, formatCount, formatFactor, formatSeconds, plural } from '../format.js';
import { addOutputOptions, deviceOption, integer, ratios, someOf, threadsOption } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';

const EPILOGUE = `
What is measured, as medians, data in memory:
  read         one parallel read of all elements: the floor
  select       the exact thresholds of all ratios
  x read       select over read; 1 would be the speed of memory
  with mask    select, then zero what it removes, in place
  x floor      with mask over (one read + one read and write)
Peers answer the first ratio, on data of the same distribution:
std::nth_element (on a copy) always; numpy.partition, torch.kthvalue and
torch's prune.global_unstructured where a python3 on PATH has them. A peer
that is missing or too slow is left out, and stderr says so.

--device cuda measures on a GPU by CUDA's events, the weights in its memory:
the read is a kernel's, the floor of the mask a copy on the device, and the
peers are torch.kthvalue, torch.topk and torch.sort there.

Examples:
  $ secateur bench select
  $ secateur bench select --distribution all --no-peers
  $ secateur bench select --dtype float32 --dtype bfloat16 --json
  $ secateur bench select --device cuda -n 1e9 --distribution all

--json prints an object, or an array of objects where several dtypes or
distributions are asked for; durations in seconds.`;

interface Options {
  elements: number;
  ratio?: number[];
  dtype?: DType[];
  distribution?: Distribution[];
  threads?: number;
  device?: DeviceChoice;
  repeats: number;
  seed: number;
  peers: boolean;
  peerTimeout: number;
  json?: boolean;
  quiet?: boolean;
}

export function addBenchSelect(bench: Command, run: Runner): void {
  const command = bench
    .command('select')
    .summary('selection against a plain read of memory')
    .description('Times the exact selection against a plain read of the same memory, and against other libraries.')
    .option('-n, --elements <n>', 'number of weights, 1 to 1e11', integer('--elements', 1, 1e11), 100_000_000)
    .option('-r, --ratio <number>', 'removal ratio, [0, 1); repeatable (default: 0.9)', ratios('--ratio'))
    .option('--dtype <type>', `${DTYPES.join(', ')} or all; repeatable (default: float32)`, someOf('--dtype', DTYPES))
    .option(
      '--distribution <name>',
      `${DISTRIBUTIONS.join(', ')} or all; repeatable (default: normal)`,
      someOf('--distribution', DISTRIBUTIONS),
    )
    .addOption(threadsOption())
    .addOption(deviceOption('cpu'))
    .option('--repeats <n>', 'runs a median is taken of, 1 to 1000', integer('--repeats', 1, 1000), 7)
    .option('--seed <n>', 'decides the random weights, 0 to 4294967295', integer('--seed', 0, 2 ** 32 - 1), 1)
    .option('--no-peers', 'leave out the Python libraries')
    .option(
      '--peer-timeout <s>',
      'longest wait for one peer, 1 to 3600 seconds',
      integer('--peer-timeout', 1, 3600),
      120,
    )
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((options: Options) => run(options, (context) => benchSelect(options, context)));
}

async function benchSelect(options: Options, { terminal, progress, signal }: CommandContext): Promise<void> {
  const dtypes = options.dtype ?? ['float32'];
  const gpu = gpuFor(options.device ?? 'cpu', dtypes);
  checkMemory(options.elements, dtypes, gpu === undefined ? 2 : 1);
  const missing = new Set<string>();
  const results = await benchmarkSelect({
    elements: options.elements,
    dtypes,
    distributions: options.distribution ?? ['normal'],
    ratios: options.ratio ?? [0.9],
    threads: options.threads ?? 0,
    gpu,
    repeats: options.repeats,
    seed: options.seed,
    peerTimeoutMs: options.peers ? 1000 * options.peerTimeout : 0,
    signal,
    leftOut: (name, reason) => missing.add(`peer ${name} is left out: ${reason}`),
    progress: (phase, done, total) => progress.update(phase, done, total, 'steps'),
  });
  progress.stop();
  for (const sentence of missing) terminal.note(sentence);
  terminal.result(results.length === 1 ? results[0] : results);
  print(results, terminal);
}

/** The GPU to measure on; undefined for the CPU. */
function gpuFor(device: DeviceChoice, dtypes: readonly DType[]): SelectBenchmark['gpu'] {
  const library = chooseDevice(device, dtypes.includes('float64') ? 'float64 weights are for the CPU' : undefined);
  const probe = library === undefined ? undefined : probeDevice();
  return probe?.available ? probe : undefined;
}

/** The weights and, on the CPU, one copy (for std::nth_element) must fit, or the machine would swap, not measure. */
function checkMemory(elements: number, dtypes: readonly DType[], copies: 1 | 2): void {
  const needed = copies * elements * Math.max(...dtypes.map((dtype) => BYTES_PER_ELEMENT[dtype]));
  if (needed < totalmem()) return;
  throw invalidOption(
    '--elements',
    `so few that ${copies === 2 ? 'two copies' : 'they'} fit into the memory of ${formatBytes(totalmem())}`,
    elements,
  );
}

function print(results: readonly SelectResult[], terminal: Terminal): void {
  const [first] = results;
  if (first === undefined) return;
  const where = first.gpu ?? `${plural(first.threads, 'thread')}, ${first.backend}`;
  terminal.say(`${formatCount(first.elements)} weights, ratio ${first.ratios.join(', ')}; ${where}.`);
  terminal.print('', ...selectTable(results, terminal));
  for (const result of results) {
    if (result.sweepToOne === undefined) continue;
    terminal.say(
      `${result.dtype} ${result.distribution}: ${plural(result.ratios.length, 'ratio')} in one call take ` +
        `${formatFactor(result.sweepToOne)} the time of one.`,
    );
  }
  for (const { dtype, distribution, seconds, maskToFloor } of results) {
    if (seconds.mask === undefined || maskToFloor === undefined) continue;
    const factor = formatFactor(maskToFloor);
    terminal.say(`${dtype} ${distribution}: the mask in place takes ${formatSeconds(seconds.mask)}, ${factor} a copy.`);
  }
  if (results.some(({ peers }) => Object.keys(peers).length > 0)) terminal.print('', ...peerTable(results, terminal));
}

function selectTable(results: readonly SelectResult[], terminal: Terminal): string[] {
  return renderTable({
    columns: [
      { header: 'type' },
      { header: 'weights', shrink: true },
      { header: 'read', align: 'right', leaves: 2 },
      { header: 'select', align: 'right' },
      { header: 'GB/s', align: 'right', leaves: 4 },
      { header: 'x read', align: 'right' },
      { header: 'with mask', align: 'right', leaves: 3 },
      { header: 'x floor', align: 'right' },
    ],
    rows: results.map((result) => [
      result.dtype,
      result.distribution,
      formatSeconds(result.seconds.floor),
      formatSeconds(result.seconds.select),
      ((result.elements * BYTES_PER_ELEMENT[result.dtype]) / result.seconds.select / 1e9).toFixed(1),
      formatFactor(result.selectToFloor),
      formatSeconds(result.seconds.selectAndMask),
      formatFactor(result.selectAndMaskToFloor),
    ]),
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
}

function peerTable(results: readonly SelectResult[], terminal: Terminal): string[] {
  const versions = results.some(({ peerVersions }) => Object.keys(peerVersions).length > 0);
  return renderTable({
    columns: [
      { header: 'peer', shrink: true },
      ...(versions ? [{ header: 'version', leaves: 1 }] : []),
      ...(results.length > 1 ? [{ header: 'on' }] : []),
      { header: 'time', align: 'right' },
      { header: 'x select', align: 'right' },
    ],
    rows: results.flatMap((result) =>
      Object.entries(result.peers).map(([name, seconds]) => [
        name,
        ...(versions ? [result.peerVersions[name] ?? ''] : []),
        ...(results.length > 1 ? [`${result.dtype} ${result.distribution}`] : []),
        formatSeconds(seconds),
        formatFactor(seconds / (result.seconds.selectOne ?? result.seconds.select)),
      ]),
    ),
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
}
