// Joins axes of two values: those of an operand with those of the result that it is broadcast to, and stretches of axes.
import type { Channel, Couplings, NodeFacts } from '../rule.js';
import type { Value } from '../value.js';

/** Axes are aligned at the end; an axis of length 1 that is repeated stays as it is. */
export function joinBroadcast(couplings: Couplings, operand: Value, out: Value): void {
  const shape = operand.shape ?? [];
  const offset = (out.shape?.length ?? 0) - shape.length;
  for (const axis of shape.keys()) joinBroadcastAxis(couplings, [operand, axis], [out, axis + offset]);
}

export function joinBroadcastAxis(
  couplings: Couplings,
  [operand, own]: readonly [Value, number],
  [out, axis]: readonly [Value, number],
): void {
  if (operand.shape?.[own] === 1 && out.shape?.[axis] !== 1) couplings.pinAxis(operand, own, 'broadcast');
  else couplings.joinAxes(operand, own, out, axis);
}

/** Height, width and further axes stay whole. */
export function pinSpace({ proto, label }: NodeFacts, value: Value, couplings: Couplings): void {
  for (const axis of value.atoms.keys()) {
    if (axis >= 2) couplings.pinAxis(value, axis, `space, to ${proto.opType} ${label}`);
  }
}

/** Joins `count` indices of one axis with those of another, from given ones on. */
export function joinRange(
  couplings: Couplings,
  [a, axisA, fromA]: Channel,
  [b, axisB, fromB]: Channel,
  count: number,
): void {
  for (let index = 0; index < count; index++) couplings.join([a, axisA, fromA + index], [b, axisB, fromB + index]);
}
