// Charts as SVG, by ECharts on the server side: no document and no browser. The only file that knows the package, which
// is optional and loaded on first use. Text, colours and sizes that all charts share are here too.
import type { EChartsOption } from 'echarts';
import { SecateurError } from '../../errors.js';

export type ChartOption = EChartsOption;

export const FONT = 'Helvetica, Arial, sans-serif';
export const INK = '#222222';
export const FAINT = '#e3e3e3';

/** Okabe and Ito's colours, which people with any colour vision tell apart. */
export const COLOURS = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#e69f00',
  '#56b4e9',
  '#000000',
  '#8a7f00',
] as const;

/** A width that holds a text of that many characters at a size in pixels: there is nothing here to measure it with. */
export function textWidth(characters: number, size: number): number {
  return Math.ceil(characters * size * 0.58);
}

/** A text of at most so many characters, shortened in the middle. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const head = Math.floor((most - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (most - 1 - head))}`;
}

/** @throws SecateurError UNSUPPORTED where ECharts is not installed. */
export async function renderSvg(option: ChartOption, size: { width: number; height: number }): Promise<string> {
  const { init } = await load();
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...size });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      textStyle: { fontFamily: FONT, color: INK },
      ...option,
    });
    return plain(chart.renderToSVGString());
  } finally {
    chart.dispose();
  }
}

/** Without what only pages with scripts and a pointer need, and the font said once: half of the bytes. */
function plain(svg: string): string {
  return svg
    .replace(/<style[\s\S]*?<\/style>\s*/, '')
    .replaceAll(/ (?:ecmeta_\w+|class|pointer-events)="[^"]*"/g, '')
    .replaceAll(`font-family:${FONT};`, '')
    .replaceAll(/style="font-size:(\d+)px;"/g, 'font-size="$1"')
    .replace('<svg ', `<svg font-family="${FONT}" `)
    .replaceAll(/><\/(?:path|rect|circle|polyline|polygon|line)>/g, '/>');
}

async function load(): Promise<typeof import('echarts')> {
  try {
    return await import('echarts');
  } catch (error) {
    throw missing(error);
  }
}

function missing(cause: unknown): SecateurError {
  const message = 'Expected the package echarts to load; it draws the charts: npm install echarts';
  return new SecateurError('UNSUPPORTED', message, { cause });
}
