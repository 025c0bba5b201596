// How the weights that are left spread over the layers: a heat map of the kept fraction, layers from the input down to the
// output, ratios from left to right. Several models stand side by side, each stretched over its own depth.
import { pointsByChoice, type SweepPoint, type SweepReport } from '../report.js';
import { choiceLabel, percent } from '../series.js';
import type { ChartOptions } from './accuracy.js';
import { type ChartOption, INK, renderSvg, shortened, textWidth } from './render.js';

interface Panel {
  report: SweepReport;
  label: string;
  points: readonly SweepPoint[];
}

interface Place {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** ColorBrewer's YlGnBu: the darker, the more is kept; in order of lightness, so that it is read without colours too. */
const KEPT = ['#ffffd9', '#edf8b1', '#c7e9b4', '#7fcdbb', '#41b6c4', '#1d91c0', '#225ea8', '#253494', '#081d58'];
const TOP = 78;
const PANEL_TITLE = 24;
const GAP = 28;
const AXIS = 44;
const BOTTOM = 62;
const NARROWEST = 560;
const CELL_WIDTH = 46;
const PANEL_WIDTH = 190;
const ROW = { least: 14, most: 34 };
const LONGEST_NAME = 36;
/** Rows lower than this have no room for a number. */
const TEXT_HEIGHT = 12;

/**
 * A heat map for every model and every choice of weights, as SVG. One threshold a layer keeps the same fraction
 * everywhere, and is left out unless there is nothing else.
 *
 * @throws SecateurError UNSUPPORTED where ECharts is not installed.
 */
export async function layerChart(reports: readonly SweepReport[], { data }: ChartOptions = {}): Promise<string> {
  const rows = reports.length === 1 ? [panelRows(reports).flat()] : panelRows(reports);
  const panels = rows.flat();
  const layers = Math.max(...reports.map((report) => report.layers.length));
  const height = layers * Math.min(ROW.most, Math.max(ROW.least, 240 / layers));
  const one = reports.length === 1;
  const names = one ? Math.max(...namesOf(reports[0]).map((name) => textWidth(name.length, 12))) : 40;
  const wide = 24 + names + Math.max(...rows.map(widthOf)) + 24;
  const width = Math.max(NARROWEST, wide);
  const left = 24 + names + (width - wide) / 2;
  const places = placesOf(rows, { left, height });
  const depth = one ? '' : ', over relative depth';
  const models = reports.map(({ name }) => name).join(', ');
  const option: ChartOption = {
    title: [
      {
        text: `${models}: weights kept in every layer`,
        subtext: `In percent; the input is at the top${depth}${data ? `. Data: ${data}` : ''}`,
        left: 'center',
        textStyle: { fontSize: 17, color: INK },
        subtextStyle: { fontSize: 13, color: INK },
      },
      ...panels.map(({ label }, index) => panelTitle(label, places[index] as Place)),
    ],
    grid: places,
    xAxis: panels.map(({ points }, gridIndex) => ({ ...ratioAxis(points), gridIndex })),
    yAxis: panels.map(({ report }, gridIndex) => ({
      ...layerAxis(report, one, places[gridIndex]?.left === left),
      gridIndex,
    })),
    visualMap: legend(),
    series: panels.map((panel, index) => cells(panel, index, height)),
  };
  return await renderSvg(option, { width, height: TOP + rows.length * rowHeight(height) + BOTTOM });
}

/** A row of panels for each choice of weights, a column for each model. */
function panelRows(reports: readonly SweepReport[]): Panel[][] {
  const choices = new Map<string, Panel[]>();
  for (const report of reports) {
    const all = pointsByChoice(report.points);
    const global = all.filter(([first]) => first?.scope === 'global');
    for (const points of global.length > 0 ? global : all) {
      const choice = choiceLabel(points[0] as SweepPoint);
      const label = reports.length > 1 ? `${report.name}, ${choice}` : choice;
      choices.set(choice, [...(choices.get(choice) ?? []), { report, label, points }]);
    }
  }
  return [...choices.values()];
}

function rowHeight(height: number): number {
  return PANEL_TITLE + height + AXIS;
}

function widthOf(row: readonly Panel[]): number {
  return row.reduce((sum, { points }) => sum + panelWidth(points) + GAP, -GAP);
}

function panelWidth(points: readonly SweepPoint[]): number {
  return Math.max(PANEL_WIDTH, points.length * CELL_WIDTH);
}

function placesOf(rows: readonly (readonly Panel[])[], { left, height }: { left: number; height: number }): Place[] {
  return rows.flatMap((row, index) => {
    let at = left;
    return row.map(({ points }) => {
      const width = panelWidth(points);
      const place = { left: at, top: TOP + PANEL_TITLE + index * rowHeight(height), width, height };
      at += width + GAP;
      return place;
    });
  });
}

function panelTitle(text: string, { left, top, width }: Place) {
  return {
    text: shortened(text, Math.floor(width / 7)),
    left: left + width / 2,
    top: top - PANEL_TITLE,
    textAlign: 'center',
    padding: 0,
    textStyle: { fontSize: 14, fontWeight: 'normal', color: INK },
  } as const;
}

function ratioAxis(points: readonly SweepPoint[]) {
  return {
    type: 'category',
    data: points.map(({ ratio }) => percent(ratio)),
    axisLabel: { fontSize: 12, color: INK, interval: points.length > 12 ? 'auto' : 0 },
    axisTick: { show: false },
    name: 'weights removed',
    nameLocation: 'middle',
    nameGap: 26,
    nameTextStyle: { fontSize: 12, color: INK },
  } as const;
}

/** Names for one model; for several, whose layers differ, how deep they are. */
function layerAxis(report: SweepReport, named: boolean, labelled: boolean) {
  const last = Math.max(1, report.layers.length - 1);
  const depths = report.layers.map((_, index) => `${Math.round((100 * index) / last)}%`);
  const marked = new Set([0, 0.25, 0.5, 0.75, 1].map((part) => Math.round(part * last)));
  return {
    type: 'category',
    inverse: true,
    data: named ? namesOf(report) : depths,
    axisLabel: {
      show: labelled,
      fontSize: 12,
      color: INK,
      interval: named ? 0 : (index: number) => marked.has(index),
    },
    axisTick: { show: false },
  } as const;
}

/** Layers without the ending that all of them share. */
function namesOf(report: SweepReport | undefined): string[] {
  const names = report?.layers.map(({ name }) => name) ?? [];
  const ending = '.weight';
  const bare = names.every((name) => name.endsWith(ending))
    ? names.map((name) => name.slice(0, -ending.length))
    : names;
  return bare.map((name) => shortened(name, LONGEST_NAME));
}

function legend(): NonNullable<ChartOption['visualMap']> {
  return {
    type: 'continuous',
    min: 0,
    max: 100,
    orient: 'horizontal',
    left: 'center',
    bottom: 14,
    itemWidth: 16,
    itemHeight: 260,
    text: ['100% kept', '0%'],
    textStyle: { fontSize: 12, color: INK },
    inRange: { color: [...KEPT] },
  };
}

function cells({ report, points }: Panel, index: number, height: number) {
  const { layers } = report;
  const readable = height / Math.max(1, layers.length) >= TEXT_HEIGHT;
  return {
    type: 'heatmap',
    xAxisIndex: index,
    yAxisIndex: index,
    data: points.flatMap((point, x) =>
      layers.map(({ weights }, y) => {
        const kept = (100 * (point.layers[y] ?? 0)) / Math.max(1, weights);
        return { value: [x, y, kept], label: { color: kept > 45 ? '#ffffff' : INK } };
      }),
    ),
    label: {
      show: readable,
      fontSize: 10,
      formatter: ({ value }: { value: unknown }) => number(Number((value as number[])[2])),
    },
    itemStyle: { borderColor: '#ffffff', borderWidth: readable ? 1 : 0 },
  } as const;
}

/** Two digits: `97`, `4.2`, `0.31`. */
function number(kept: number): string {
  if (kept >= 99.95) return '100';
  return kept >= 9.95 ? kept.toFixed(0) : kept.toFixed(kept >= 0.995 || kept === 0 ? 1 : 2);
}
