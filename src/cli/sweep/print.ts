// What `secateur sweep` says to people: one table of all models, and a line for every point that is finished.
import { mainMetric, type SweepPoint, type SweepReport, seriesLabels } from '../../index.js';
import { pointsByChoice, pointsBySeries } from '../../sweep/report.js';
import { choiceLabel, percent, placeLabel } from '../../sweep/series.js';
import { formatPercent, formatReal, formatSeconds, printable } from '../format.js';
import { type Column, renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';

/** A number of a measure: fractions as percentages. */
export function formatMetric(name: string, value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '-';
  return name === 'loss' ? formatReal(value) : formatPercent(value);
}

/** One row a ratio, one column a series; a second table has what the layers keep. */
export function printSweep(report: SweepReport, terminal: Terminal): void {
  const metric = mainMetric(report);
  if (metric !== undefined) printMetrics(report, metric, terminal);
  printLayers(report, terminal);
}

function printMetrics(report: SweepReport, metric: string, terminal: Terminal): void {
  const { points, dense, name } = report;
  const ratios = [...new Set(points.map(({ ratio }) => ratio))];
  const series = pointsBySeries(points);
  const labels = seriesLabels(series.map(([first]) => first as SweepPoint));
  const cell = (point: SweepPoint | undefined) => formatMetric(metric, point?.metrics?.[metric]);
  terminal.say(`${printable(name)}: ${metric} ${formatMetric(metric, dense.metrics?.[metric])} dense`);
  print(
    [
      { header: 'removed', align: 'right' },
      ...labels.map((header): Column => ({ header: labels.length === 1 ? metric : header, align: 'right' })),
    ],
    ratios.map((ratio) => [percent(ratio), ...series.map((list) => cell(list.find((point) => point.ratio === ratio)))]),
    terminal,
  );
}

/** For each way to choose weights: what is kept of every layer, a column a ratio as far as the width goes. */
function printLayers(report: SweepReport, terminal: Terminal): void {
  for (const [label, list] of layerSeries(report)) {
    terminal.say(`${printable(report.name)}: kept of every layer, ${label}`);
    print(
      [
        { header: 'layer', shrink: true },
        ...list.map(
          ({ ratio }, index): Column => ({
            header: percent(ratio),
            align: 'right',
            // The ends say most.
            leaves: index === 0 || index === list.length - 1 ? 0 : 1,
          }),
        ),
      ],
      report.layers.map(({ name, weights }, index) => [
        printable(name),
        ...list.map(({ layers }) => formatPercent((layers[index] ?? 0) / Math.max(1, weights))),
      ]),
      terminal,
    );
  }
}

/** Layer by layer all layers keep the same. */
function layerSeries({ points }: SweepReport): [string, SweepPoint[]][] {
  return pointsByChoice(points).flatMap((list): [string, SweepPoint[]][] => {
    const [first] = list;
    return first?.scope === 'global' ? [[choiceLabel(first), list]] : [];
  });
}

function print(columns: Column[], rows: string[][], terminal: Terminal): void {
  const { width, dim, bold } = terminal;
  terminal.print(...renderTable({ columns, rows, width, dim, bold }), '');
}

/** `3 of 18: magnitude, global, one-shot, 70%: accuracy 91.20% (12.1 s)`, and how long the rest may take. */
export function noteOf(point: SweepPoint, where: { name: string; finished: number; points: number; left: string }) {
  const [metric, value] = Object.entries(point.metrics ?? {})[0] ?? [];
  const measured = metric === undefined ? '' : `: ${metric} ${formatMetric(metric, value)}`;
  const { name, finished, points, left } = where;
  const rest = left === '' ? '' : `, ${left}`;
  return `${printable(name)} ${finished} of ${points}: ${placeLabel(point)}${measured} (${formatSeconds(point.seconds)})${rest}`;
}
