// Numbers and names as people read them: thousands separators, units, names shortened in the middle. Pure
// functions from values to text; knows no terminal.
import stringWidth from 'string-width';

const count = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** `64363101` becomes `64,363,101`. */
export function formatCount(value: number): string {
  return count.format(value);
}

/** A fraction as a percentage with two digits: `0.9` becomes `90.00%`. Only nothing is 0.00% and only all is 100.00%. */
export function formatPercent(fraction: number): string {
  if (!Number.isFinite(fraction)) return '-';
  if (fraction > 0 && fraction < 0.00005) return '<0.01%';
  if (fraction < 1 && fraction >= 0.99995) return '>99.99%';
  return `${(100 * fraction).toFixed(2)}%`;
}

/** Decimal units, as file managers and `ls --si` count: `257452404` becomes `257 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : significant(value)} ${units[unit] ?? ''}`;
}

/** Seconds with a unit that keeps three digits: `0.0372` becomes `37.2 ms`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-';
  if (seconds === 0) return '0 s';
  if (seconds >= 99.5) return `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`;
  if (seconds >= 0.9995) return `${significant(seconds)} s`;
  if (seconds >= 0.0009995) return `${significant(seconds * 1e3)} ms`;
  return `${significant(seconds * 1e6)} us`;
}

/** Whole seconds that something may still take: `57 s left`. */
export function formatTimeLeft(seconds: number): string {
  return `${formatSeconds(Math.ceil(seconds)).replace(/\.\d+ s/, ' s')} left`;
}

/** How many times one duration is another: `1.274` becomes `1.27x`. */
export function formatFactor(factor: number): string {
  return Number.isFinite(factor) ? `${significant(factor)}x` : '-';
}

/** A threshold or another small real number, four significant digits. */
export function formatReal(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return value === 0 ? '0' : String(Number(value.toPrecision(4)));
}

/** `[64, 32, 3, 3]` becomes `64x32x3x3`; a scalar is `scalar`. */
export function formatShape(shape: readonly number[]): string {
  return shape.length === 0 ? 'scalar' : shape.join('x');
}

/** `plural(1, 'tensor')` is `1 tensor`, `plural(2, 'tensor')` is `2 tensors`. */
export function plural(value: number, noun: string): string {
  return `${formatCount(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/**
 * Names come from files: control characters and escape sequences in them must not reach a terminal, and a line
 * break must not break a table.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

/** Shortens to at most `width` columns (>= 1); `headShare` of them show the start, the others the end. */
export function shortenMiddle(text: string, width: number, headShare = 0.5): string {
  if (stringWidth(text) <= width) return text;
  if (width <= 1) return '…'.slice(0, width);
  const characters = Array.from(text);
  // The end of a tensor's name says more ("weight", "bias") than its start, so the end gets the odd column.
  const headColumns = Math.floor((width - 1) * headShare);
  const head = takeColumns(characters, headColumns);
  const tail = takeColumns([...characters].reverse(), width - 1 - headColumns).reverse();
  return `${head.join('')}…${tail.join('')}`;
}

function takeColumns(characters: readonly string[], columns: number): string[] {
  const taken: string[] = [];
  let used = 0;
  for (const character of characters) {
    used += stringWidth(character);
    if (used > columns) break;
    taken.push(character);
  }
  return taken;
}

/** Three significant digits, never an exponent. */
function significant(value: number): string {
  if (value >= 99.5) return count.format(value);
  return value.toFixed(value >= 9.995 ? 1 : 2);
}
