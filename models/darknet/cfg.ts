// Darknet's .cfg text into sections: `[type]` lines, each followed by `key=value` lines. Spaces mean nothing, `#` and `;`
// begin comments. Knows which keys exist (keys.ts) but not what a layer computes.
import { SecateurError } from '../../src/errors.js';
import { didYouMean } from '../../src/spelling.js';
import { type SectionType, sectionTypes, supportedKeys } from './keys.js';

/** At most so many problems are listed in one error. */
const MOST_LISTED = 5;

interface Entry {
  readonly text: string;
  readonly line: number;
}

/** One section, with typed access to its values. Every error says file and line. */
export class Section {
  readonly type: SectionType;
  /** The number of its `[type]` line, from 1. */
  readonly line: number;
  readonly path: string;
  readonly entries = new Map<string, Entry>();

  constructor(type: SectionType, path: string, line: number) {
    this.type = type;
    this.path = path;
    this.line = line;
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  /** A whole number of at least `least`; without a `fallback` the key must be there. */
  whole(key: string, least: number, fallback?: number): number {
    const entry = this.#entry(key, fallback === undefined);
    if (entry === undefined) return fallback ?? Number.NaN;
    const value = toNumber(entry.text);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw this.#wrong(key, entry, `a whole number of ${least} or more`);
  }

  /** A number above 0. */
  positive(key: string, fallback: number): number {
    const entry = this.#entry(key, false);
    if (entry === undefined) return fallback;
    const value = toNumber(entry.text);
    if (value > 0 && Number.isFinite(value)) return value;
    throw this.#wrong(key, entry, 'a number above 0');
  }

  /** Numbers with commas between them; the key must be there. */
  list(key: string, { whole = false }: { whole?: boolean } = {}): number[] {
    const entry = this.#entry(key, true);
    const values = (entry?.text ?? '').split(',').map(toNumber);
    const valid = values.every((value) => (whole ? Number.isSafeInteger(value) : Number.isFinite(value)));
    if (entry !== undefined && !valid) {
      throw this.#wrong(key, entry, `${whole ? 'whole ' : ''}numbers with commas between them`);
    }
    return values;
  }

  /** One of the words that `meanings` has. */
  word<T>(key: string, meanings: Readonly<Record<string, T>>, fallback: T): T {
    const entry = this.#entry(key, false);
    if (entry === undefined) return fallback;
    const meaning = Object.hasOwn(meanings, entry.text) ? meanings[entry.text] : undefined;
    if (meaning !== undefined) return meaning;
    const known = Object.keys(meanings);
    throw this.#wrong(key, entry, `one of ${known.join(', ')}`, didYouMean(entry.text, known));
  }

  /** A failure of the section as a whole. */
  error(sentence: string): SecateurError {
    return cfgError(this.path, this.line, sentence);
  }

  #entry(key: string, needed: boolean): Entry | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined && needed) throw this.error(`Expected [${this.type}] to have ${key}=`);
    return entry;
  }

  #wrong(key: string, { text, line }: Entry, expected: string, hint = ''): SecateurError {
    return cfgError(this.path, line, `Expected ${key} to be ${expected}, got ${JSON.stringify(text)}${hint}`);
  }
}

/**
 * Reads the text of a cfg file.
 *
 * @param path names the file in errors.
 * @returns the sections in order, the first of them `net`.
 * @throws SecateurError INVALID_MODEL where the text is no cfg; UNSUPPORTED, with all of them, where sections or keys are
 * unknown or would change what the network computes in a way that is not supported.
 */
export function parseCfg(text: string, path: string): Section[] {
  const sections: Section[] = [];
  const problems: string[] = [];
  for (const [index, whole] of text.split('\n').entries()) {
    const line = index + 1;
    const content = whole.replace(/[#;].*/, '').replace(/\s/g, '');
    if (content === '') continue;
    const section = sections.at(-1);
    if (content.startsWith('[')) sections.push(openSection(content, { path, line, problems }));
    else if (section === undefined) throw cfgError(path, line, 'Expected a section such as [net] first');
    else addEntry(section, content, line);
  }
  for (const section of sections) problems.push(...unsupportedKeys(section));
  if (problems.length > 0) throw unsupported(path, problems);
  const others = sections.findIndex(({ type }, index) => (type === 'net') !== (index === 0));
  if (sections.length < 2 || others !== -1) {
    throw cfgError(path, sections[others]?.line ?? 1, 'Expected one [net] section, and the layers after it');
  }
  return sections;
}

/** A failure at a line of a cfg file. */
export function cfgError(path: string, line: number, sentence: string): SecateurError {
  return new SecateurError('INVALID_MODEL', `${path}, line ${line}: ${sentence}`, { path });
}

function openSection(head: string, at: { path: string; line: number; problems: string[] }): Section {
  const name = /^\[(.+)\]$/.exec(head)?.[1] ?? '';
  const type = Object.hasOwn(sectionTypes, name) ? sectionTypes[name as keyof typeof sectionTypes] : undefined;
  if (type === undefined) {
    const known = Object.keys(sectionTypes);
    at.problems.push(`section ${head} in line ${at.line} (known: ${known.join(', ')})`);
  }
  return new Section(type ?? 'net', at.path, at.line);
}

function addEntry(section: Section, content: string, line: number): void {
  const [, key = '', text = ''] = /^([^=]+)=(.+)$/.exec(content) ?? [];
  if (key === '') throw cfgError(section.path, line, `Expected [section] or key=value, got ${JSON.stringify(content)}`);
  const before = section.entries.get(key);
  if (before !== undefined) {
    throw cfgError(section.path, line, `Expected ${key} once in [${section.type}], but line ${before.line} has it too`);
  }
  section.entries.set(key, { text, line });
}

function unsupportedKeys({ type, entries }: Section): string[] {
  if (type === 'net') return []; // beside the input's size it has only what training needs
  const { read, neutral, training } = supportedKeys[type];
  return [...entries].flatMap(([key, { text, line }]) => {
    if (read.includes(key) || training.includes(key)) return [];
    const only = neutral[key];
    if (only === undefined) return [`${key} of [${type}] in line ${line}${didYouMean(key, [...read, ...training])}`];
    const same = only === text || (toNumber(only) === toNumber(text) && !Number.isNaN(toNumber(text)));
    return same ? [] : [`${key}=${text} of [${type}] in line ${line} (only ${only})`];
  });
}

function unsupported(path: string, problems: readonly string[]): SecateurError {
  const listed = problems.slice(0, MOST_LISTED).join(', ');
  const rest = problems.length > MOST_LISTED ? ` and ${problems.length - MOST_LISTED} more` : '';
  return new SecateurError('UNSUPPORTED', `Expected ${path} to have only what is supported, got ${listed}${rest}`, {
    path,
  });
}

function toNumber(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}
