// Formulas as nodes: operands are values, or numbers that become scalars of the type of a value.
import type { Value } from '../onnx/build/graph-builder.js';
import { input, type RuleContext, scalarLike } from './rule.js';

export type Operand = Value | number;

export interface Arithmetic {
  add(a: Operand, b: Operand): Value;
  sub(a: Operand, b: Operand): Value;
  mul(a: Operand, b: Operand): Value;
  div(a: Operand, b: Operand): Value;
  less(a: Operand, b: Operand): Value;
  greater(a: Operand, b: Operand): Value;
  where(condition: Value, yes: Operand, no: Operand): Value;
  /** A function of one value, such as Exp. */
  of(opType: string, x: Value): Value;
}

/** Operations whose scalars have the element type of `like`, a value of the forward graph; by default input 0. */
export function arithmetic(c: RuleContext, like = input(c, 0)): Arithmetic {
  const value = (operand: Operand) => (typeof operand === 'number' ? scalarLike(c, operand, like) : operand);
  const binary = (opType: string) => (a: Operand, b: Operand) => c.emit(opType, [value(a), value(b)]);
  return {
    add: binary('Add'),
    sub: binary('Sub'),
    mul: binary('Mul'),
    div: binary('Div'),
    less: binary('Less'),
    greater: binary('Greater'),
    where: (condition, yes, no) => c.emit('Where', [condition, value(yes), value(no)]),
    of: (opType, x) => c.emit(opType, [x]),
  };
}
