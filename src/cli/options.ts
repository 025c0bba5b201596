// Parsers of option values: text in, a checked value out, or an error in the grammar of the whole package
// ("Expected --ratio to be a number in [0, 1), got 1.2"). Options that several commands share are declared here once.
import { type Command, Option } from 'commander';
import { invalidOption, SecateurError } from '../errors.js';
import { DEVICES, type DeviceChoice } from '../native/device.js';
import { fixedRatio, type Granularity, parseGranularity } from '../prune/granularity.js';

/** A parser for commander: the text, and what an earlier use of the same option gave. */
type Parser<T> = (text: string, previous: T | undefined) => T;

/** A removal ratio, in [0, 1). */
export function ratio(option: string): Parser<number> {
  return (text, previous) => {
    once(option, previous);
    return parseRatio(option, text);
  };
}

/** Removal ratios, the option given once a ratio. */
export function ratios(option: string): Parser<number[]> {
  return (text, previous) => [...(previous ?? []), parseRatio(option, text)];
}

/** Texts, the option given once a text. */
export function texts(): Parser<string[]> {
  return (text, previous) => [...(previous ?? []), text];
}

/** A real number in [low, high]. */
export function real(option: string, low: number, high: number): Parser<number> {
  return (text) => {
    const value = toNumber(text);
    if (!(value >= low && value <= high)) throw invalidOption(option, `a number in [${low}, ${high}]`, given(text));
    return value;
  };
}

/** An integer in [low, high]; `1e8` and `100_000_000` are integers too. */
export function integer(option: string, low: number, high: number): Parser<number> {
  return (text) => {
    const value = toNumber(text.replace(/(?<=\d)_(?=\d)/g, ''));
    if (!Number.isSafeInteger(value) || value < low || value > high) {
      throw invalidOption(option, `an integer from ${low} to ${high}`, given(text));
    }
    return value;
  };
}

const UNITS: Readonly<Record<string, number>> = {
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** A number of bytes in [low, high]: `4e9`, `4GB` or `512MiB`. */
export function bytes(option: string, low: number, high: number): Parser<number> {
  return (text) => {
    const match = /^([\d.]+(?:e\d+)?)\s*(?:([kmgt]i?)b?|b)?$/i.exec(text);
    const unit = match?.[2] === undefined ? 1 : (UNITS[match[2].toLowerCase()] ?? Number.NaN);
    const value = Math.round(toNumber(match?.[1] ?? '') * unit);
    if (!(value >= low && value <= high)) {
      throw invalidOption(option, `a number of bytes from ${low} to ${high}, such as 4e9, 4GB or 512MiB`, text);
    }
    return value;
  };
}

/** One of a few words. */
export function oneOf<T extends string>(option: string, words: readonly T[]): Parser<T> {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw invalidOption(option, `one of ${words.join(', ')}`, text);
    return found;
  };
}

/** Several of a few words, the option given once a word; `all` means every one. */
export function someOf<T extends string>(option: string, words: readonly T[]): Parser<T[]> {
  return (text, previous) => {
    if (text === 'all') return [...words];
    const found = words.find((word) => word === text);
    if (found === undefined) throw invalidOption(option, `one of ${words.join(', ')} or all`, text);
    return [...new Set([...(previous ?? []), found])];
  };
}

/**
 * The value of an option that must be given. Commander could require it, but then it says so before it looks for
 * misspelled options, and somebody who wrote --ratoi would hear that --ratio is missing.
 */
export function required<T>(value: T | undefined, option: string, what: string): T {
  if (value !== undefined) return value;
  throw new SecateurError('INVALID_OPTION', `Expected ${option}, ${what}`, { option });
}

/** The file of `-o`. A lone dash is stdout to many programs; here it would be a file of that name. */
export function outputFile(): Parser<string> {
  return (text) => {
    if (text !== '' && text !== '-') return text;
    throw invalidOption('-o', 'the name of a file (models are not written to stdout)', text);
  };
}

/** `--granularity`, the same everywhere. */
export function granularityOption(): Option {
  return new Option(
    '-g, --granularity <what>',
    'what goes as one: weight, channel, N:M such as 2:4, or block:RxC (default: weight)',
  ).argParser((text) => {
    parseGranularity(text, '--granularity');
    return text as Granularity;
  });
}

/** `--ratio`, which is needed unless the granularity is N:M, which has its own. */
export function ratioFor(options: { ratio?: number; granularity?: Granularity }): number {
  const fixed = fixedRatio(parseGranularity(options.granularity ?? 'weight'));
  return required(options.ratio ?? fixed, '--ratio NUMBER', 'the fraction of the weights to remove, in [0, 1)');
}

/** `--threads`, the same everywhere. */
export function threadsOption(): Option {
  return new Option(
    '--threads <n>',
    'most threads to use, 1 to 1024 (default: all cores; small work uses fewer)',
  ).argParser(integer('--threads', 1, 1024));
}

/** `--device`, the same everywhere but for what it is by default. */
export function deviceOption(fallback: DeviceChoice): Option {
  return new Option('--device <device>', `auto, cpu or cuda (default: ${fallback})`).argParser(
    oneOf('--device', DEVICES),
  );
}

/** `--json` and `--quiet`, the same everywhere. */
export function addOutputOptions(command: Command, { quiet = true }: { quiet?: boolean } = {}): Command {
  command.helpOption('-h, --help', 'print this help');
  command.option('--json', 'print one JSON value on stdout, and nothing else there');
  return quiet ? command.option('-q, --quiet', 'print nothing but errors (and the JSON where asked for)') : command;
}

/** One removal ratio. */
export function parseRatio(option: string, text: string): number {
  const value = toNumber(text);
  if (value >= 0 && value < 1) return value;
  const error = invalidOption(option, 'a number in [0, 1)', given(text));
  // Somebody who writes 90 or 90% means 0.9; the unit is taught instead of guessed.
  const percent = toNumber(text.replace(/\s*%$/, ''));
  const isPercentage = (text.endsWith('%') || percent >= 2) && percent >= 0 && percent < 100;
  throw isPercentage
    ? new SecateurError(error.code, `${error.message}; ${percent}% is written ${percent / 100}`, error.fields)
    : error;
}

/** Numbers are shown as numbers, other texts in quotes. */
function given(text: string): number | string {
  const value = toNumber(text);
  return Number.isNaN(value) ? text : value;
}

function once(option: string, previous: unknown): void {
  if (previous !== undefined) throw new SecateurError('INVALID_OPTION', `Expected ${option} only once`, { option });
}

/** Number() without its surprises: an empty or blank text is no number, nor are 0x10 and Infinity. */
function toNumber(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}
