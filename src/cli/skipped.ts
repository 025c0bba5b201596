// The tensors that are left as they are, grouped by reason: a model has hundreds of biases, and one line says so.
import { plural, printable, shortenMiddle } from './format.js';
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
  for (const [reason, names] of largestFirst) {
    const [first = '', ...rest] = wrap(`${names.length}  ${printable(reason)}`, terminal.width - 2);
    terminal.print(
      `  ${first}`,
      ...rest.map((line) => `     ${line}`),
      `     ${terminal.dim(examples(names, terminal.width - 5))}`,
    );
  }
  terminal.print('');
}

function examples(names: readonly string[], width: number): string {
  const shown = names.slice(0, NAMES_SHOWN).map((name) => printable(name) || '(no name)');
  const more = names.length > NAMES_SHOWN ? ', …' : '';
  return shortenMiddle(shown.join(', ') + more, width);
}
