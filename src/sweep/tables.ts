// Sweeps as tables in CSV (RFC 4180): a row a point, and a row for every layer of every point.
import type { SweepPoint, SweepReport } from './report.js';

/** One row a point, with every measure in a column of its own. */
export function pointTable(reports: readonly SweepReport[]): string {
  const all = reports.flatMap((report) => report.points.map((point) => ({ report, point })));
  const metrics = [...new Set(all.flatMap(({ point }) => Object.keys(point.metrics ?? {})))];
  const head = [...HEAD, 'epochs', 'weights', 'kept', 'sparsity', 'threshold', ...metrics, 'seconds'];
  const rows = all.map(({ report, point }) => {
    const { epochs, kept, threshold, seconds } = point;
    const { weights } = report;
    const sparsity = 1 - kept / Math.max(1, weights);
    const measured = metrics.map((name) => point.metrics?.[name] ?? '');
    return [...headOf(report, point), epochs, weights, kept, sparsity, threshold ?? '', ...measured, seconds];
  });
  return csv([head, ...rows]);
}

/** One row a layer of a point; layers count from 0 in the order of the model. */
export function layerTable(reports: readonly SweepReport[]): string {
  const rows = reports.flatMap((report) =>
    report.points.flatMap((point) =>
      report.layers.map(({ name, weights }, index) => {
        const kept = point.layers[index] ?? 0;
        return [...headOf(report, point), index, name, weights, kept, kept / Math.max(1, weights)];
      }),
    ),
  );
  return csv([[...HEAD, 'index', 'layer', 'weights', 'kept', 'kept_fraction'], ...rows]);
}

type Cell = string | number | boolean;

const HEAD = ['model', 'method', 'scope', 'retrain_epochs', 'recalibrated', 'ratio'];

function headOf({ model }: SweepReport, point: SweepPoint): Cell[] {
  return [model, point.method, point.scope, point.retrainEpochs, point.recalibrated, point.ratio];
}

function csv(rows: readonly (readonly Cell[])[]): string {
  return rows.map((row) => `${row.map(quoted).join(',')}\r\n`).join('');
}

function quoted(cell: Cell): string {
  const text = String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
