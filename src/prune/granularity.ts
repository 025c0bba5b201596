// What is removed as one: single weights, output channels, blocks, or all but n of m. Reads the word that users write.
import { SecateurError } from '../errors.js';
import { didYouMean } from '../spelling.js';

/**
 * `weight`: each weight by itself. `channel`: whole output channels, with all that are coupled with them. `N:M`, such
 * as `2:4`: of every M weights along the input dimension the N largest stay. `block:RxC`, such as `block:4x4`: blocks
 * of R outputs and C inputs.
 */
export type Granularity = 'weight' | 'channel' | `${number}:${number}` | `block:${number}x${number}`;

/** A granularity in parts. */
export type GranularityParts =
  | { kind: 'weight' }
  | { kind: 'channel' }
  | { kind: 'within'; keep: number; of: number }
  | { kind: 'block'; rows: number; columns: number };

/** The most members that a group of n:m may have. */
const MOST_WITHIN = 32;
const FORMS = 'weight, channel, N:M such as 2:4, or block:RxC such as block:4x4';

/**
 * Takes a granularity apart.
 *
 * @param option The option's name, for the error.
 * @throws SecateurError INVALID_OPTION
 */
export function parseGranularity(value: unknown, option = 'granularity'): GranularityParts {
  const text = typeof value === 'string' ? value : '';
  if (text === 'weight' || text === 'channel') return { kind: text };
  const [, keep = '', of = ''] = /^(\d{1,9}):(\d{1,9})$/.exec(text) ?? [];
  if (of !== '') return within(Number(keep), Number(of), option);
  const [, rows = '', columns = ''] = /^block:(\d{1,9})x(\d{1,9})$/.exec(text) ?? [];
  if (columns === '') throw refused(option, FORMS, value, didYouMean(text, ['weight', 'channel']));
  if (Number(rows) < 1 || Number(columns) < 1) throw refused(option, 'blocks of at least one row and column', value);
  return { kind: 'block', rows: Number(rows), columns: Number(columns) };
}

function within(keep: number, of: number, option: string): GranularityParts {
  const advice = keep > of && keep <= MOST_WITHIN ? `; ${of}:${keep} keeps ${of} of every ${keep} weights` : '';
  if (keep < 1 || keep >= of || of > MOST_WITHIN) {
    throw refused(option, `N:M with 1 <= N < M <= ${MOST_WITHIN}`, `${keep}:${of}`, advice);
  }
  return { kind: 'within', keep, of };
}

function refused(option: string, expected: string, actual: unknown, advice = ''): SecateurError {
  const shown = typeof actual === 'string' ? JSON.stringify(actual) : String(actual);
  return new SecateurError('INVALID_OPTION', `Expected ${option} to be ${expected}, got ${shown}${advice}`, {
    option,
    expected,
    actual: shown,
  });
}

/** The removal ratio that n:m stands for; undefined where the ratio is free. */
export function fixedRatio(parts: GranularityParts): number | undefined {
  return parts.kind === 'within' ? (parts.of - parts.keep) / parts.of : undefined;
}
