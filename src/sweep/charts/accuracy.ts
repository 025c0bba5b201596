// What pruned models are worth over the ratio that was removed: a line a series. Where retrained points lie close together
// far above the one-shot ones, a second panel shows them alone.
import type { SeriesOption } from 'echarts';
import { mainMetric, pointsBySeries, type SweepPoint, type SweepReport } from '../report.js';
import { isTrained, type SweepSeries, seriesLabels } from '../series.js';
import { type ChartOption, COLOURS, FAINT, INK, renderSvg, textWidth } from './render.js';

export interface ChartOptions {
  /** What was measured on, for the title. */
  data?: string | null | undefined;
}

interface Line {
  label: string;
  colour: string;
  series: SweepSeries;
  /** Ratio in percent and the measure in its unit. */
  values: [number, number][];
}

const WIDTH = 860;
const PANEL = 380;
const TOP = 76;
const GAP = 64;
const LEGEND_ROW = 24;

/**
 * A chart of the first measure, as SVG.
 *
 * @throws SecateurError UNSUPPORTED where ECharts is not installed.
 */
export async function accuracyChart(reports: readonly SweepReport[], options: ChartOptions = {}): Promise<string> {
  const metric = reports.flatMap((report) => mainMetric(report) ?? [])[0] ?? 'accuracy';
  const lines = linesOf(reports, metric);
  const dense = reports.flatMap(({ dense: { metrics } }) => unitValue(metric, metrics?.[metric]));
  const panels = [lines, ...closeUp(lines, dense)];
  const height = TOP + panels.length * (PANEL + GAP) + LEGEND_ROW * Math.ceil(lines.length / legendColumns(lines));
  const names = reports.map(({ name }) => name).join(', ');
  const measured = options.data ? ` on ${options.data}` : '';
  const worth = dense.map((value) => `${value.toFixed(2)}${unitOf(metric)}`).join(', ');
  const option: ChartOption = {
    title: {
      text: `${names}: ${metric} of pruned models${measured}`,
      subtext: dense.length > 0 ? `Dense: ${worth} (dashed line)` : '',
      left: 'center',
      textStyle: { fontSize: 17, color: INK },
      subtextStyle: { fontSize: 13, color: INK },
    },
    legend: legendsOf(lines, TOP + panels.length * (PANEL + GAP) - 12),
    grid: panels.map((_, index) => ({ left: 76, right: 30, top: TOP + index * (PANEL + GAP), height: PANEL - 30 })),
    xAxis: panels.map((_, gridIndex) => ({ ...ratioAxis(lines), gridIndex })),
    yAxis: panels.map((list, gridIndex) => ({
      ...valueAxis(metric, gridIndex > 0 ? [...list] : [], dense),
      gridIndex,
    })),
    series: panels.flatMap((list, panel) => list.map((line, index) => drawn(line, panel, index === 0 ? dense : []))),
  };
  return await renderSvg(option, { width: WIDTH, height });
}

function linesOf(reports: readonly SweepReport[], metric: string): Line[] {
  const colours = new Map<string, string>();
  return reports.flatMap((report) => {
    const all = pointsBySeries(report.points);
    const labels = seriesLabels(all.map(([first]) => first as SweepPoint));
    return all.flatMap((points, index): Line[] => {
      const [series] = points;
      const values = points.flatMap(({ ratio, metrics }): [number, number][] =>
        unitValue(metric, metrics?.[metric]).map((value) => [100 * ratio, value]),
      );
      if (series === undefined || values.length === 0) return [];
      const key = [report.model, series.method, series.scope].join('\n');
      const colour = colours.get(key) ?? COLOURS[colours.size % COLOURS.length] ?? INK;
      colours.set(key, colour);
      const label = labels[index] ?? '';
      return [{ label: reports.length > 1 ? `${report.name}: ${label}` : label, colour, series, values }];
    });
  });
}

const LEGEND_MARK = 34;

function legendColumn(lines: readonly Line[]): number {
  return LEGEND_MARK + 30 + Math.max(...lines.map(({ label }) => textWidth(label.length, 13)));
}

function legendColumns(lines: readonly Line[]): number {
  return Math.max(1, Math.floor((WIDTH - 60) / legendColumn(lines)));
}

/** One for each line, in columns: a legend of all would place them by a font that viewers may not have. */
function legendsOf(lines: readonly Line[], top: number): NonNullable<ChartOption['legend']> {
  const columns = legendColumns(lines);
  return lines.map(({ label }, index) => ({
    data: [label],
    left: 60 + (index % columns) * legendColumn(lines),
    top: top + Math.floor(index / columns) * LEGEND_ROW,
    padding: 0,
    itemWidth: LEGEND_MARK,
    textStyle: { fontSize: 13, color: INK },
  }));
}

/** Fractions as percentages; a loss is no fraction. */
function unitValue(metric: string, value: number | undefined): number[] {
  if (value === undefined || !Number.isFinite(value)) return [];
  return [metric === 'loss' ? value : 100 * value];
}

function unitOf(metric: string): string {
  return metric === 'loss' ? '' : '%';
}

/** The trained lines, where all lines together would squeeze them. */
function closeUp(lines: readonly Line[], dense: readonly number[]): Line[][] {
  const trained = lines.filter(({ series }) => isTrained(series));
  if (trained.length === 0 || trained.length === lines.length) return [];
  return spread(trained, dense) < spread(lines, dense) / 3 ? [trained] : [];
}

function spread(lines: readonly Line[], dense: readonly number[]): number {
  const all = [...lines.flatMap(({ values }) => values.map(([, value]) => value)), ...dense];
  return Math.max(...all) - Math.min(...all);
}

function ratioAxis(lines: readonly Line[]) {
  const ratios = [...new Set(lines.flatMap(({ values }) => values.map(([ratio]) => ratio)))].sort((a, b) => a - b);
  const [low = 0, high = 100] = [ratios[0], ratios.at(-1)];
  const margin = Math.max(1, (high - low) * 0.04);
  return {
    type: 'value',
    name: 'weights removed',
    nameLocation: 'middle',
    nameGap: 30,
    nameTextStyle: { fontSize: 13, color: INK },
    min: Math.max(0, low - margin),
    max: Math.min(100, high + margin),
    axisLabel: { fontSize: 12, color: INK, formatter: '{value}%', showMinLabel: false, showMaxLabel: false },
    splitLine: { lineStyle: { color: FAINT } },
    axisLine: { onZero: false, lineStyle: { color: INK } },
  } as const;
}

/** A close-up begins where its values do. */
function valueAxis(metric: string, close: readonly Line[], dense: readonly number[]) {
  const all = [...close.flatMap(({ values }) => values.map(([, value]) => value)), ...dense];
  const margin = close.length === 0 ? 0 : spread(close, dense) * 0.1;
  return {
    type: 'value',
    name: close.length === 0 ? metric : `${metric}, close-up of trained points`,
    nameLocation: 'end',
    nameTextStyle: { fontSize: 13, color: INK, align: 'left' },
    scale: close.length > 0 || metric === 'loss',
    ...(close.length > 0 && { min: Math.min(...all) - margin, max: Math.max(...all) + margin }),
    axisLabel: {
      fontSize: 12,
      color: INK,
      formatter: (value: number) => `${Number(value.toFixed(2))}${unitOf(metric)}`,
      ...(close.length > 0 && { showMinLabel: false, showMaxLabel: false }),
    },
    splitLine: { lineStyle: { color: FAINT } },
    axisLine: { show: true, lineStyle: { color: INK } },
  } as const;
}

/** The colour tells method and scope, the stroke and the mark what happened after the pruning. */
const STYLES = {
  trained: { symbol: 'circle', type: 'solid' },
  recalibrated: { symbol: 'triangle', type: 'dashed' },
  oneShot: { symbol: 'emptyCircle', type: 'dotted' },
} as const;

function styleOf(series: SweepSeries) {
  if (isTrained(series)) return STYLES.trained;
  return series.recalibrated ? STYLES.recalibrated : STYLES.oneShot;
}

function drawn({ label, colour, series, values }: Line, panel: number, dense: readonly number[]): SeriesOption {
  const { symbol, type } = styleOf(series);
  return {
    type: 'line',
    name: label,
    xAxisIndex: panel,
    yAxisIndex: panel,
    data: values,
    symbol,
    symbolSize: 8,
    itemStyle: { color: colour },
    lineStyle: { color: colour, width: 2, type },
    markLine: {
      silent: true,
      symbol: 'none',
      label: { show: false },
      lineStyle: { color: INK, type: 'dashed', width: 1 },
      data: dense.map((yAxis) => ({ yAxis })),
    },
  };
}
