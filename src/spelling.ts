// Did you mean ...? For option names, model names and tensor names alike.
import { distance } from 'fastest-levenshtein';

/** Of very many names only the first are compared: a suggestion is worth no wait. */
const MOST_COMPARED = 20_000;

/** The names nearest to a misspelt one, nearest first; none that is more than half different. */
export function closestNames(text: string, names: readonly string[], count = 1): string[] {
  const lower = text.toLowerCase();
  return names
    .slice(0, MOST_COMPARED)
    .map((name) => ({ name, edits: distance(lower, name.toLowerCase()) }))
    .filter(({ name, edits }) => edits <= Math.max(text.length, name.length) / 2)
    .sort((a, b) => a.edits - b.edits)
    .slice(0, count)
    .map(({ name }) => name);
}

/** `; did you mean "a" or "b"?`, or nothing. */
export function didYouMean(text: string, names: readonly string[], count = 1): string {
  const close = closestNames(text, names, count).map((name) => JSON.stringify(name));
  return close.length === 0 ? '' : `; did you mean ${close.join(' or ')}?`;
}
