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

/** The table's lines, each at most `width` columns wide where the columns that never leave allow it. */
export function renderTable(options: TableOptions): string[] {
  const { width, footer, dim = same, bold = same } = options;
  const { head, tail, hidden } = abridge(options.rows, options.maxRows ?? Number.POSITIVE_INFINITY);
  const shown = [...head, ...tail];
  const layout = fit(options.columns, [...shown, ...(footer ? [footer] : [])], width);
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
}

/** Chooses the columns that stay and their widths. */
function fit(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): Placed[] {
  let placed: Placed[] = columns.map((column, index) => ({
    index,
    column,
    size: Math.max(stringWidth(column.header), ...rows.map((row) => stringWidth(row[index] ?? ''))),
  }));
  for (;;) {
    const fixed = placed.reduce((sum, { column, size }) => sum + (column.shrink ? 0 : size), 0);
    const room = width - fixed - GAP * (placed.length - 1);
    const shrinking = placed.find(({ column }) => column.shrink);
    const needed = shrinking ? Math.min(shrinking.size, SMALLEST_SHRUNK) : 0;
    const leaver = placed.reduce((worst, next) =>
      (next.column.leaves ?? 0) > (worst.column.leaves ?? 0) ? next : worst,
    );
    if (room < needed && (leaver.column.leaves ?? 0) > 0) {
      placed = placed.filter((each) => each !== leaver);
      continue;
    }
    if (shrinking) shrinking.size = Math.min(shrinking.size, Math.max(room, 1));
    return placed;
  }
}

function renderLine(layout: readonly Placed[], cells: readonly string[]): string {
  const texts = layout.map(({ index, size, column }) => {
    const text = shortenMiddle(cells[index] ?? '', size);
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
