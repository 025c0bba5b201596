// Checks that every public function makes of its options, in one grammar.
import { invalidOption, SecateurError } from './errors.js';
import { didYouMean } from './spelling.js';

/**
 * Refuses keys that mean nothing, since a misspelt option would be ignored in silence.
 *
 * @param what What the keys are, for the sentence: `option`.
 */
export function checkKeys(what: string, given: readonly string[], known: readonly string[]): void {
  for (const key of given) {
    if (known.includes(key)) continue;
    throw new SecateurError('INVALID_OPTION', `Unknown ${what} ${JSON.stringify(key)}${didYouMean(key, known)}`, {
      option: key,
    });
  }
}

interface Range {
  least: number;
  /** Inclusive bound. */
  most?: number;
  /** Exclusive bound. */
  below?: number;
  whole?: boolean;
}

/** Refuses what is not a number of the range. */
export function checkNumber(option: string, value: unknown, { least, most, below, whole = false }: Range): void {
  const inRange =
    typeof value === 'number' &&
    value >= least &&
    (most === undefined || value <= most) &&
    (below === undefined || value < below) &&
    (!whole || Number.isSafeInteger(value));
  if (inRange) return;
  const end = below === undefined ? `${most ?? 'infinity'}]` : `${below})`;
  throw invalidOption(option, `a ${whole ? 'whole ' : ''}number in [${least}, ${end}`, value);
}
