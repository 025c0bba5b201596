// The tensors that are left as they are, grouped by reason: a model has hundreds of biases, and one line says so.
import stringWidth from 'string-width';
import { formatCount, plural, printable, shortenMiddle } from './format.js';
import type { Terminal } from './terminal.js';
import { wrap } from './terminal.js';

const NAMES_SHOWN = 3;

/** Prints one paragraph a reason: how many tensors, the reason, and a few names. Nothing for an empty list. */
export function printSkipped(skipped: readonly { name: string; reason: string }[], terminal: Terminal): void {
  if (skipped.length === 0) return;
  const groups = new Map<string, string[]>();
  for (const { name, reason } of skipped) {
    const names = groups.get(reason) ?? [];
    names.push(name);
    groups.set(reason, names);
  }
  terminal.print(`Left as they are: ${plural(skipped.length, 'tensor')}`);
  const largestFirst = [...groups].sort(([, a], [, b]) => b.length - a.length);
  const digits = formatCount(largestFirst[0]?.[1].length ?? 0).length;
  const indent = ' '.repeat(digits + 4);
  const width = terminal.width - indent.length;
  for (const [reason, names] of largestFirst) {
    const [first = '', ...rest] = wrap(printable(reason), width);
    terminal.print(
      `  ${formatCount(names.length).padStart(digits)}  ${first}`,
      ...rest.map((line) => indent + line),
      terminal.dim(indent + examples(names, width)),
    );
  }
  terminal.print('');
}

/** The first names, as many as fit; at least one, shortened where it must be. */
function examples(names: readonly string[], width: number): string {
  const more = ', …';
  let shown = '';
  for (const [index, name] of names.slice(0, NAMES_SHOWN).entries()) {
    const next = index === 0 ? named(name) : `${shown}, ${named(name)}`;
    const room = width - (index < names.length - 1 ? stringWidth(more) : 0);
    if (index === 0) shown = shortenMiddle(next, room);
    else if (stringWidth(next) <= room) shown = next;
    else return shown + more;
  }
  return names.length > NAMES_SHOWN ? shown + more : shown;
}

function named(name: string): string {
  return printable(name) || '(no name)';
}
