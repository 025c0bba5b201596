// A borderless table that fits a given width. One column may shrink (names, shortened in the middle); the least
// important columns leave when even that is not enough. Knows nothing of models.
import stringWidth from 'string-width';
import { shortenMiddle } from './format.js';

export interface Column {
  header: string;
  align?: 'left' | 'right';
  /** The one column whose cells are shortened when the table is too wide. */
  shrink?: boolean;
  /** Columns with the highest number leave first; 0 (the default) never leaves. */
  leaves?: number;
}

export interface TableOptions {
  columns: readonly Column[];
  rows: readonly (readonly string[])[];
  /** Sums, printed below a rule. */
  footer?: readonly string[];
  /** Terminal columns available; Infinity where nothing limits the width. */
  width: number;
  /** At most this many rows: the first and the last ones, with a line between that counts the others. */
  maxRows?: number;
  /** Styles the header, the rule and the line of left-out rows. */
  dim?: (text: string) => string;
  bold?: (text: string) => string;
}

const GAP = 2;
const SMALLEST_SHRUNK = 12;
const HEAD_SHARES = [0.5, 0.35, 0.65, 0.2, 0.8] as const;

/** The table's lines, each at most `width` columns wide where the columns that never leave allow it. */
export function renderTable(options: TableOptions): string[] {
  const { width, footer, dim = same, bold = same } = options;
  const { head, tail, hidden } = abridge(options.rows, options.maxRows ?? Number.POSITIVE_INFINITY);
  const shown = [...head, ...tail];
  const layout = fit(options.columns, footer ? [...shown, footer] : shown, width);
  const line = (cells: readonly string[]): string => renderLine(layout, cells);
  const total = layout.reduce((sum, { size }) => sum + size + GAP, -GAP);

  return [
    bold(line(options.columns.map(({ header }) => header))),
    ...head.map(line),
    ...(hidden > 0 ? [dim(`… ${hidden} more`)] : []),
    ...tail.map(line),
    ...(footer ? [dim('─'.repeat(Math.max(total, 0))), bold(line(footer))] : []),
  ];
}

interface Placed {
  index: number;
  size: number;
  column: Column;
  /** Which part of a shortened cell's columns goes to its start. */
  headShare: number;
}

/** Chooses the columns that stay and their widths. */
function fit(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): Placed[] {
  const natural: Placed[] = columns.map((column, index) => ({
    index,
    column,
    size: Math.max(stringWidth(column.header), ...rows.map((row) => stringWidth(row[index] ?? ''))),
    headShare: HEAD_SHARES[0],
  }));
  // The first subset of columns that leaves the names distinguishable; where none does, all that may leave have left.
  for (let placed = natural; ; ) {
    const { layout, good } = squeeze(placed, rows, width);
    const leaver = placed.reduce((worst, next) => (rank(next) > rank(worst) ? next : worst));
    if (good || rank(leaver) === 0) return layout;
    placed = placed.filter((each) => each !== leaver);
  }
}

function rank({ column }: Placed): number {
  return column.leaves ?? 0;
}

/** Narrows the shrinking column to what the others leave. Good: different names still look different. */
function squeeze(
  placed: readonly Placed[],
  rows: readonly (readonly string[])[],
  width: number,
): { layout: Placed[]; good: boolean } {
  const fixed = placed.reduce((sum, { column, size }) => sum + (column.shrink ? 0 : size), 0);
  const room = Math.max(1, width - fixed - GAP * (placed.length - 1));
  const shrinking = placed.find(({ column }) => column.shrink);
  if (!shrinking || shrinking.size <= room) return { layout: [...placed], good: room > 1 };

  const names = [...new Set(rows.map((row) => row[shrinking.index] ?? ''))];
  const { headShare, distinct } = bestHeadShare(names, room);
  const narrowed = { ...shrinking, size: room, headShare };
  return {
    layout: placed.map((each) => (each === shrinking ? narrowed : each)),
    good: room >= SMALLEST_SHRUNK && distinct === names.length,
  };
}

/** Names of one model share their start or their end or both; the share that tells most of them apart is used for all. */
function bestHeadShare(names: readonly string[], room: number): { headShare: number; distinct: number } {
  let best = { headShare: HEAD_SHARES[0] as number, distinct: 0 };
  for (const headShare of HEAD_SHARES) {
    const distinct = new Set(names.map((name) => shortenMiddle(name, room, headShare))).size;
    if (distinct > best.distinct) best = { headShare, distinct };
  }
  return best;
}

function renderLine(layout: readonly Placed[], cells: readonly string[]): string {
  const texts = layout.map(({ index, size, column, headShare }) => {
    const text = shortenMiddle(cells[index] ?? '', size, headShare);
    const padding = ' '.repeat(Math.max(0, size - stringWidth(text)));
    return column.align === 'right' ? padding + text : text + padding;
  });
  return texts.join(' '.repeat(GAP)).trimEnd();
}

function abridge<T>(rows: readonly T[], maxRows: number): { head: readonly T[]; tail: readonly T[]; hidden: number } {
  if (rows.length <= maxRows) return { head: rows, tail: [], hidden: 0 };
  const headLength = Math.ceil(maxRows / 2);
  const tailLength = maxRows - headLength;
  return {
    head: rows.slice(0, headLength),
    tail: rows.slice(rows.length - tailLength),
    hidden: rows.length - headLength - tailLength,
  };
}

function same(text: string): string {
  return text;
}
