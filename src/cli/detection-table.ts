// COCO's metrics as tables: by the size of objects, and by class.
import type { DetectionEvaluation, DetectionMetrics } from '../index.js';
import { formatCount, formatPercent, printable } from './format.js';
import { type Column, renderTable } from './table.js';
import type { Terminal } from './terminal.js';

type Metric = keyof DetectionMetrics;

const numbers = (headers: readonly string[]): Column[] => headers.map((header) => ({ header, align: 'right' }));
const share = (value: number | null) => (value === null ? '-' : formatPercent(value));

const bySize: readonly [name: string, metrics: readonly (Metric | undefined)[]][] = [
  ['all', ['ap', 'ap50', 'ap75', 'ar1', 'ar10', 'ar100']],
  ['small (to 32x32)', ['apSmall', undefined, undefined, undefined, undefined, 'arSmall']],
  ['medium', ['apMedium', undefined, undefined, undefined, undefined, 'arMedium']],
  ['large (from 96x96)', ['apLarge', undefined, undefined, undefined, undefined, 'arLarge']],
];

/** Precision and recall of all objects, and of small, medium and large ones. */
export function sizeTable(evaluation: DetectionMetrics, terminal: Terminal): string[] {
  return renderTable({
    columns: [{ header: 'objects' }, ...numbers(['AP', 'AP50', 'AP75', 'AR1', 'AR10', 'AR100'])],
    rows: bySize.map(([name, metrics]) => [
      name,
      ...metrics.map((metric) => (metric === undefined ? '' : share(evaluation[metric]))),
    ]),
    width: terminal.width,
    bold: terminal.bold,
    dim: terminal.dim,
  });
}

/** The classes that have labels, in the data's order. */
export function classTable(categories: DetectionEvaluation['categories'], terminal: Terminal): string[] {
  return renderTable({
    columns: [{ header: 'class', shrink: true }, ...numbers(['labels', 'AP', 'AP50', 'AR100'])],
    rows: categories
      .filter(({ labels }) => labels > 0)
      .map(({ name, labels, ap, ap50, ar100 }) => [
        printable(name),
        formatCount(labels),
        share(ap),
        share(ap50),
        share(ar100),
      ]),
    width: terminal.width,
    bold: terminal.bold,
    dim: terminal.dim,
  });
}
