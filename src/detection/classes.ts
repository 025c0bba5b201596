// Which class of a model is which category of a data set: by their names, or by their numbers where both have as many.

import { SecateurError } from '../errors.js';

/**
 * The category of each of the model's classes; -1 where the data has no such category, so that a model of eighty classes can
 * be measured on data that has three of them.
 *
 * @param classes how many the model has.
 * @param names of the model's classes, where it knows them.
 * @param categories names of the data set's.
 * @throws SecateurError INVALID_OPTION where it cannot be told.
 */
export function matchClasses(
  classes: number,
  names: readonly string[] | undefined,
  categories: readonly string[],
): number[] {
  const same = Array.from({ length: classes }, (_, index) => index);
  if (names?.length !== classes) {
    if (classes === categories.length) return same;
    throw unmatched(`as many classes as the data (${categories.length})`, `${classes} without names`);
  }
  const positions = new Map(categories.map((name, index) => [plain(name), index]));
  const byName = names.map((name) => positions.get(plain(name)) ?? -1);
  const missing = categories.filter((_, index) => !byName.includes(index));
  if (missing.length === 0) return byName;
  // The same list with some names spelt differently: Darknet's COCO says "aeroplane" where COCO says "airplane".
  const agree = byName.some((index) => index >= 0) && byName.every((index, own) => index === own || index < 0);
  if (agree && classes === categories.length) return same;
  const shown = missing.slice(0, 5).map((name) => JSON.stringify(name));
  throw unmatched(`the data's classes ${shown.join(', ')}${missing.length > 5 ? ', ...' : ''}`, `${classes} others`);
}

/** Case, spaces, hyphens and underscores tell no classes apart. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[\s_-]+/g, '');
}

function unmatched(expected: string, actual: string): SecateurError {
  const message = `Expected the model to have ${expected}, got ${actual}; use data with the model's classes`;
  return new SecateurError('INVALID_OPTION', message, { option: 'data' });
}
