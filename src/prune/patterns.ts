// Globs on tensor names. A name is not a path: `*` also matches slashes and leading dots. A pattern that equals a name
// matches it, whatever characters it has.

import picomatch from 'picomatch';
import { SecateurError } from '../errors.js';
import { didYouMean } from '../spelling.js';

/** A compiled glob. */
export interface Pattern {
  text: string;
  matches(name: string): boolean;
}

/** Compiles globs and makes sure that each matches a name. */
export function compilePatterns(option: string, globs: readonly string[], names: readonly string[]): Pattern[] {
  return globs.map((text) => {
    const glob = picomatch(text, { bash: true, dot: true, windows: false });
    const pattern = { text, matches: (name: string) => name === text || glob(name) };
    if (!names.some((name) => pattern.matches(name))) throw unknownTensor(option, text, names);
    return pattern;
  });
}

function unknownTensor(option: string, text: string, names: readonly string[]): SecateurError {
  const advice = didYouMean(text, names, 3) || '; `secateur inspect` lists the names of weights';
  return new SecateurError(
    'UNKNOWN_TENSOR',
    `Expected ${option} to match the name of an initializer, got ${JSON.stringify(text)}${advice}`,
    { option, actual: text },
  );
}
