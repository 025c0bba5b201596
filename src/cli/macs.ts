// Multiply-accumulates in words.
import type { MacTotals } from '../index.js';
import { formatCount, printable } from './format.js';

/** `38,900,000 multiply-accumulates, 12,000,000 of them with weights that are not zero`, or why that is unknown. */
export function describeMacs({ dense, effective, unknown }: MacTotals): string {
  if (dense === null || effective === null) return `multiply-accumulates unknown (${printable(unknown[0] ?? '')})`;
  const rest = effective === dense ? '' : `, ${formatCount(effective)} of them with weights that are not zero`;
  return `${formatCount(dense)} multiply-accumulates an image${rest}`;
}
