// What the program says and where: results on stdout, everything else on stderr. With `--json` stdout carries one
// JSON value and nothing else; with `--quiet` it carries nothing that is not asked for as JSON.
import pc from 'picocolors';
import stringWidth from 'string-width';
import { printable } from './format.js';

export interface OutputOptions {
  json?: boolean;
  quiet?: boolean;
}

type Style = (text: string) => string;

export class Terminal {
  readonly json: boolean;
  readonly quiet: boolean;
  /** Columns that a line on stdout may fill: COLUMNS, else the terminal's, else no limit (a file or a pipe). */
  readonly width: number;
  readonly bold: Style;
  readonly dim: Style;

  constructor({ json = false, quiet = false }: OutputOptions = {}) {
    this.json = json;
    this.quiet = quiet;
    this.width = columns(process.stdout);
    const style = pc.createColors(colours(process.stdout));
    this.bold = style.bold;
    this.dim = style.dim;
  }

  /** Lines for people, on stdout; silent with `--json` and `--quiet`. Long sentences are wrapped to the width. */
  print(...lines: string[]): void {
    if (this.json || this.quiet) return;
    process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  }

  /** A sentence for people, wrapped at spaces. */
  say(sentence: string): void {
    this.print(...wrap(sentence, this.width));
  }

  /** The one JSON value of a command. */
  result(value: unknown): void {
    if (this.json) process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  }

  /** Something to know that is no failure, on stderr. */
  warn(sentence: string): void {
    if (!this.quiet) complain(`warning: ${sentence}`, 'yellow');
  }

  /** What a long command is doing, on stderr. */
  note(sentence: string): void {
    if (!this.quiet) process.stderr.write(`${printable(sentence)}\n`);
  }
}

/** `secateur: sentence` on stderr, whatever the options say. */
export function complain(sentence: string, colour: 'red' | 'yellow' = 'red'): void {
  const style = pc.createColors(colours(process.stderr));
  process.stderr.write(`${style[colour]('secateur:')} ${sentence}\n`);
}

/** Breaks a sentence at spaces into lines of at most `width` columns; words longer than that stay whole. */
export function wrap(sentence: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of sentence.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && stringWidth(longer) > width) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  return [...lines, line];
}

function columns(stream: NodeJS.WriteStream): number {
  const asked = Number(process.env['COLUMNS']);
  if (Number.isInteger(asked) && asked > 0) return asked;
  return stream.isTTY && stream.columns > 0 ? stream.columns : Number.POSITIVE_INFINITY;
}

/** https://no-color.org: any non-empty NO_COLOR switches colours off; FORCE_COLOR switches them on for a pipe. */
function colours(stream: NodeJS.WriteStream): boolean {
  if (process.env['NO_COLOR']) return false;
  const forced = process.env['FORCE_COLOR'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  return Boolean(stream.isTTY) && process.env['TERM'] !== 'dumb';
}
