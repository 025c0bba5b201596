// `secateur doctor`: what works here, what does not, and what was chosen.
import type { Command } from 'commander';
import { type Diagnosis, examine } from '../doctor/examine.js';
import { formatBytes, plural } from '../format.js';
import { addOutputOptions } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import type { Terminal } from '../terminal.js';
import { wrap } from '../terminal.js';

const EPILOGUE = `
Exit codes: 0 all that is needed works, 1 something needed is broken

Examples:
  $ secateur doctor
  $ SECATEUR_FORCE_BACKEND=avx2 secateur doctor --json`;

export function addDoctor(program: Command, run: Runner): void {
  const command = program
    .command('doctor')
    .summary('check the installation and this machine')
    .description('Checks the installation: versions, the native addon and its backends, memory, ONNX Runtime.')
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command, { quiet: false }).action((options: { json?: boolean }) => run(options, doctor));
}

function doctor({ terminal }: CommandContext): void {
  const diagnosis = examine();
  terminal.result(diagnosis);
  print(diagnosis, terminal);
  if (diagnosis.problems.length > 0) process.exitCode = 1;
}

function print(diagnosis: Diagnosis, terminal: Terminal): void {
  const { addon, memory, cuda, problems } = diagnosis;
  const facts: [string, string][] = [
    ['secateur', diagnosis.secateur],
    ['node', diagnosis.node],
    ['platform', diagnosis.platform],
    ['processor', `${diagnosis.cpu}, ${plural(diagnosis.threads, 'thread')}`],
    ['memory', `${formatBytes(memory.totalBytes)}, ${formatBytes(memory.freeBytes)} free`],
    ['addon', addon.error === null ? `${addon.origin}: ${addon.path}` : 'not loaded'],
    ['backends', backends(diagnosis)],
    ['cuda', gpu(cuda)],
    ['onnxruntime', runtime(diagnosis)],
  ];
  for (const [name, value] of facts) {
    const [first = '', ...rest] = wrap(value, terminal.width - 13);
    terminal.print(`${terminal.bold(name.padEnd(11))}  ${first}`, ...rest.map((line) => `${' '.repeat(13)}${line}`));
  }
  terminal.print('');
  if (problems.length === 0) terminal.say('All that is needed works.');
  else for (const problem of problems) terminal.say(`Broken: ${problem}`);
}

function gpu(cuda: Diagnosis['cuda']): string {
  if (!cuda.available) return cuda.reason;
  const { name, capability, totalBytes, freeBytes, driver } = cuda;
  const version = `${Math.floor(driver / 1000)}.${Math.floor((driver % 1000) / 10)}`;
  return `${name} (${capability}), ${formatBytes(totalBytes)}, ${formatBytes(freeBytes)} free; driver of CUDA ${version}`;
}

function backends({ addon }: Diagnosis): string {
  if (addon.backend === null) return 'none';
  const forced = process.env['SECATEUR_FORCE_BACKEND'] ? ', by SECATEUR_FORCE_BACKEND' : '';
  return `${addon.backends.join(', ')}; in use: ${addon.backend}${forced}`;
}

function runtime({ onnxruntime }: Diagnosis): string {
  if (onnxruntime === null) return 'onnxruntime-node is not installed (not needed to prune)';
  const cuda = onnxruntime.cudaProvider === null ? 'without its CUDA libraries' : 'with its CUDA libraries';
  return `onnxruntime-node ${onnxruntime.version}, ${cuda}`;
}
