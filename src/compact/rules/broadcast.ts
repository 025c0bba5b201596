// Joins the axes of an operand with those of the result that it is broadcast to.
import type { Couplings } from '../rule.js';
import type { Value } from '../value.js';

/** Axes are aligned at the end; an axis of length 1 that is repeated stays as it is. */
export function joinBroadcast(couplings: Couplings, operand: Value, out: Value): void {
  const shape = operand.shape ?? [];
  const offset = (out.shape?.length ?? 0) - shape.length;
  for (const [axis, dim] of shape.entries()) {
    if (dim === 1 && out.shape?.[axis + offset] !== 1) couplings.pinAxis(operand, axis, 'broadcast');
    else couplings.joinAxes(operand, axis, out, axis + offset);
  }
}
