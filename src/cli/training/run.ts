// What `train` and `retrain` do alike around a method: the checkpoint and its resuming, progress, the model and the
// report to write, and what people read.
import { existsSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { invalidOption } from '../../errors.js';
import { type BatchSource, type MethodReport, type RunOptions, SecateurError, type Trainer } from '../../index.js';
import { writeAtomically } from '../../onnx/write.js';
import { formatCount, formatPercent, formatReal, formatSeconds, formatShape, plural, printable } from '../format.js';
import { required } from '../options.js';
import type { CommandContext } from '../run.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';
import type { TrainingOptions } from './options.js';
import { openTask } from './task.js';

/** Runs a method on a model, and writes and says what came out. */
export type Method = (trainer: Trainer, batches: BatchSource, options: RunOptions) => Promise<MethodReport>;

export async function runTraining(
  model: string,
  options: TrainingOptions,
  context: CommandContext,
  method: Method,
): Promise<void> {
  const output = required(options.output, '-o FILE', 'the file to write');
  await checkFolders(output, options.report);
  const checkpoint = await checkpointOf(output, options);
  refuseSameFile({ '-o': output, '--report': options.report, '--checkpoint': checkpoint }, model);
  const { trainer, batches, ...measured } = await openTask(model, options);
  try {
    const report = await withCheckpointNote(checkpoint, context.terminal, () =>
      method(trainer, batches, {
        ...measured,
        checkpoint,
        resume: options.resume,
        signal: context.signal,
        onProgress: ({ phase, done, epochs }) => context.progress.update(phase, done, epochs, 'steps'),
      }),
    );
    await trainer.save(output);
    if (options.report !== undefined) await writeReport(options.report, report);
    if (checkpoint !== undefined) await removeCheckpoint(checkpoint);
    context.progress.stop();
    context.terminal.result(report);
    print(report, output, context.terminal);
  } finally {
    await trainer.close();
  }
}

/** An hour of training must not end with a folder that is not there. */
async function checkFolders(...files: (string | undefined)[]): Promise<void> {
  for (const file of files) {
    if (file === undefined) continue;
    const folder = dirname(file);
    const found = await stat(folder).catch(() => undefined);
    if (found?.isDirectory()) continue;
    throw new SecateurError('IO', `Expected the folder ${folder} to exist, to write ${file}`, { path: file });
  }
}

async function checkpointOf(output: string, options: TrainingOptions): Promise<string | undefined> {
  if (options.checkpoint === false) return undefined;
  const path = options.checkpoint ?? `${output}.checkpoint`;
  await checkFolders(path);
  if (!existsSync(path) || options.resume) return path;
  throw new SecateurError(
    'INVALID_OPTION',
    `Expected no file ${path}, got the checkpoint of an interrupted run; --resume goes on with it, or remove it`,
    { path, option: '--resume' },
  );
}

/** The model may be written over itself; nothing else may lie on top of something else. */
function refuseSameFile(files: Readonly<Record<string, string | undefined>>, model: string): void {
  const taken = new Map<string, string>();
  for (const [option, file] of Object.entries(files)) {
    if (file === undefined) continue;
    const path = resolve(file);
    const other = taken.get(path) ?? (option !== '-o' && path === resolve(model) ? 'the model' : undefined);
    if (other !== undefined) throw invalidOption(option, `another file than that of ${other}`, file);
    taken.set(path, option);
    if (option === '--checkpoint') taken.set(`${path}.data`, option);
  }
}

async function withCheckpointNote<T>(
  checkpoint: string | undefined,
  terminal: Terminal,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const usable = !(error instanceof SecateurError && error.code === 'INVALID_OPTION');
    if (usable && checkpoint !== undefined && existsSync(checkpoint)) {
      terminal.note(`${checkpoint} holds the run so far; the same command with --resume goes on with it`);
    }
    throw error;
  }
}

async function removeCheckpoint(checkpoint: string): Promise<void> {
  await rm(checkpoint, { force: true });
  await rm(`${checkpoint}.data`, { force: true });
}

async function writeReport(path: string, report: MethodReport): Promise<void> {
  await writeAtomically(path, [Buffer.from(`${JSON.stringify(report, null, 2)}\n`)]);
}

function print(report: MethodReport, output: string, terminal: Terminal): void {
  if (report.method !== 'train') printIterations(report, terminal);
  if (report.method !== 'train') printTensors(report, terminal);
  const { before, after, epochs, seconds, sparsity } = report;
  const worth = (score: typeof before) => {
    if (score?.metrics !== undefined) return formatMetrics(score.metrics);
    const loss = `loss ${formatReal(score?.loss ?? Number.NaN)}`;
    return score === null || score.accuracy === null ? loss : formatPercent(score.accuracy);
  };
  const removed = report.method === 'train' ? '' : `, ${formatPercent(sparsity)} of the weights removed`;
  terminal.say(
    `${printable(output)}: ${worth(before)} before, ${worth(after)} after ${plural(epochs, 'epoch')}${removed}. ` +
      `Took ${formatSeconds(seconds)}.`,
  );
}

function formatMetrics(metrics: NonNullable<NonNullable<MethodReport['after']>['metrics']>): string {
  return Object.entries(metrics)
    .map(([name, value]) => `${name} ${value === null ? '-' : formatPercent(value)}`)
    .join(', ');
}

function printIterations({ history: { iterations } }: MethodReport, terminal: Terminal): void {
  if (iterations.length === 0) return;
  const table = renderTable({
    columns: [
      { header: 'iteration' },
      { header: 'rho', align: 'right' },
      { header: 'loss', align: 'right' },
      { header: '||W-Z||', align: 'right' },
      { header: '||dZ||', align: 'right', leaves: 2 },
      { header: 'support moved', align: 'right', leaves: 1 },
      { header: 'accuracy', align: 'right' },
    ],
    rows: iterations.map((each) => [
      `${each.phase} ${each.iteration + 1}`,
      formatReal(each.rho),
      each.loss === null ? '-' : formatReal(each.loss),
      formatReal(each.gap),
      formatReal(each.moved),
      formatPercent(each.supportChanged),
      each.accuracy === null ? '-' : formatPercent(each.accuracy),
    ]),
    footer: ['', '', '', '', '', '', ''],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print(...table, '');
}

function printTensors({ tensors }: MethodReport, terminal: Terminal): void {
  const sum = (pick: (tensor: MethodReport['tensors'][number]) => number) =>
    tensors.reduce((total, tensor) => total + pick(tensor), 0);
  const [weights, kept] = [sum((tensor) => tensor.weights), sum((tensor) => tensor.kept)];
  const table = renderTable({
    columns: [
      { header: 'layer', shrink: true },
      { header: 'shape', align: 'right', leaves: 1 },
      { header: 'weights', align: 'right' },
      { header: 'kept', align: 'right' },
      { header: 'sparsity', align: 'right' },
    ],
    rows: tensors.map((tensor) => [
      printable(tensor.name),
      formatShape(tensor.shape),
      formatCount(tensor.weights),
      formatCount(tensor.kept),
      formatPercent(tensor.sparsity),
    ]),
    footer: [
      plural(tensors.length, 'layer'),
      '',
      formatCount(weights),
      formatCount(kept),
      formatPercent((weights - kept) / Math.max(1, weights)),
    ],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print(...table, '');
}
