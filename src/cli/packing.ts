// What commands that pack print: a table of tensors, and sentences about sizes and loading.
import type { PackReport } from '../index.js';
import {
  formatBytes,
  formatCount,
  formatFactor,
  formatReal,
  formatSeconds,
  formatShape,
  plural,
  printable,
} from './format.js';
import { printSkipped } from './skipped.js';
import { renderTable } from './table.js';
import type { Terminal } from './terminal.js';

/** Prints what `pack` did. */
export function printPacked(report: PackReport, terminal: Terminal): void {
  const lossy = report.tensors.some(({ values }) => values !== 'same');
  const table = renderTable({
    columns: [
      { header: 'tensor', shrink: true },
      { header: 'shape', align: 'right', leaves: 2 },
      { header: 'type', leaves: 4 },
      { header: 'not zero', align: 'right', leaves: 3 },
      { header: 'stored as' },
      ...(lossy
        ? [
            { header: 'values' },
            { header: 'largest error', align: 'right', leaves: 1 } as const,
            { header: 'mean error', align: 'right', leaves: 1 } as const,
          ]
        : []),
      { header: 'bytes', align: 'right' },
      { header: 'packed', align: 'right' },
    ],
    rows: report.tensors.map((tensor) => [
      printable(tensor.name),
      formatShape(tensor.shape),
      tensor.dtype,
      formatCount(tensor.nonzeros),
      tensor.encoding,
      ...(lossy ? errorsOf(tensor) : []),
      formatCount(tensor.bytes.before),
      formatCount(tensor.bytes.after),
    ]),
    footer: [
      plural(report.tensors.length, 'tensor'),
      '',
      '',
      '',
      '',
      ...(lossy ? ['', '', ''] : []),
      formatCount(report.bytes.before),
      formatCount(report.bytes.after),
    ],
    width: terminal.width,
    dim: terminal.dim,
    bold: terminal.bold,
  });
  terminal.print(...table, '');
  printSkipped(report.skipped, terminal);
  terminal.say(describePacked(report));
}

function errorsOf({ values, error }: PackReport['tensors'][number]): string[] {
  return [values === 'same' ? '' : values, formatReal(error.largest), formatReal(error.mean)];
}

/** What became of the sizes, and whether the file loads. */
export function describeResult(
  output: string,
  { bytes, loadSeconds }: { bytes: { before: number; after: number }; loadSeconds: number | null },
): string {
  const loads =
    loadSeconds === null
      ? 'It was not loaded to try it: onnxruntime-node is not installed.'
      : `ONNX Runtime loads it in ${formatSeconds(loadSeconds)}.`;
  return `Wrote ${printable(output)}: ${formatBytes(bytes.after)}, before ${formatBytes(bytes.before)}. ${loads}`;
}

/** Sizes, loading, and what the file is good for. */
export function describePacked(report: PackReport): string {
  const { bytes, output, format } = report;
  const factor = bytes.after === 0 ? Number.NaN : bytes.before / bytes.after;
  const smaller = factor > 1.005 ? ` That is ${formatFactor(factor)} smaller.` : ' Nothing in it becomes smaller.';
  const use =
    format === 'packed'
      ? 'It unpacks itself when a runtime loads it, and then runs as the dense model does.'
      : 'A runtime makes it dense when it loads it, and then runs it as the dense model.';
  return `${describeResult(output, report)}${smaller} ${use}`;
}
