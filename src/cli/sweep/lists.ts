// Lists as option values: ratios with their ranges, numbers, and words. An option may also be given several times.
import { invalidOption, SecateurError } from '../../errors.js';
import { integer, oneOf, parseRatio } from '../options.js';

type ListParser<T> = (text: string, previous: T[] | undefined) => T[];

const MOST_RATIOS = 1000;

/** Removal ratios: `0.5,0.9`, or `0.1:0.9:0.1` for all from the first to the second. Rising, each once. */
export function ratioList(option: string): ListParser<number> {
  return (text, previous = []) => {
    const found = text.split(',').flatMap((part) => ratiosIn(option, part));
    return [...new Set([...previous, ...found])].sort((a, b) => a - b);
  };
}

function ratiosIn(option: string, text: string): number[] {
  const parts = text.split(':').map((part) => parseRatio(option, part));
  const [from = 0, to = from, step = 0] = parts;
  if (parts.length === 1) return [from];
  const count = Math.floor((to - from) / step + 1e-9) + 1;
  if (parts.length === 3 && step > 0 && to >= from && count <= MOST_RATIOS) {
    // Steps are added up as they are written: 0.1 + 2 * 0.1 is 0.3.
    return Array.from({ length: count }, (_, index) => Number((from + index * step).toFixed(12)));
  }
  throw invalidOption(option, `FROM:TO:STEP with at most ${MOST_RATIOS} steps, such as 0.1:0.9:0.1`, text);
}

/** Whole numbers in [low, high], each once. */
export function integerList(option: string, low: number, high: number): ListParser<number> {
  const parse = integer(option, low, high);
  return list(option, (text) => parse(text, undefined));
}

/** Some of a few words, each once. */
export function wordList<T extends string>(option: string, words: readonly T[]): ListParser<T> {
  const parse = oneOf(option, words);
  return list(option, (text) => parse(text, undefined));
}

function list<T>(option: string, parse: (text: string) => T): ListParser<T> {
  return (text, previous = []) => {
    const all = [...previous, ...text.split(',').map((part) => parse(part.trim()))];
    if (new Set(all).size === all.length) return all;
    throw new SecateurError('INVALID_OPTION', `Expected ${option} without repeats, got ${all.join(',')}`, { option });
  };
}
