// What is known of the elements of small integer tensors: the shapes that exporters compute with Shape, Gather and
// Concat before a Reshape. Elements are lengths, so symbols come through.
import { intAttribute, intsAttribute } from '../attributes.js';
import { sliceRange, slicesOf } from './layout.js';
import type { InferContext } from './rule.js';
import type { Dim } from './shape.js';

/** Tensors of more elements are no shapes. */
export const MAX_CONTENTS = 64;

type ContentsRule = (context: InferContext) => readonly Dim[] | undefined;

const handOn: ContentsRule = (c) => c.contents(0);

/** Elementwise on numbers; a symbol only where the other side leaves it as it is. */
function arithmetic(apply: (a: number, b: number) => number, neutral: number): ContentsRule {
  return (c) => {
    const [a, b] = [c.contents(0), c.contents(1)];
    if (a === undefined || b === undefined) return undefined;
    const length = Math.max(a.length, b.length);
    const at = (list: readonly Dim[], index: number): Dim => list[list.length === 1 ? 0 : index] ?? 0;
    return Array.from({ length }, (_, index) => {
      const [x, y] = [at(a, index), at(b, index)];
      if (typeof x === 'number' && typeof y === 'number') return apply(x, y);
      return y === neutral ? x : c.symbols.fresh();
    });
  };
}

export const contentRules: Readonly<Record<string, ContentsRule>> = {
  Identity: handOn,
  Cast: handOn,
  Squeeze: handOn,
  Unsqueeze: handOn,
  Reshape: handOn,
  Shape: (c) => {
    const x = c.shape(0);
    return x?.slice(intAttribute(c.node, 'start', 0), intAttribute(c.node, 'end', x.length));
  },
  Gather: (c) => {
    const [list, indices] = [c.contents(0), c.contents(1)];
    return indices?.map((index) => {
      const at = typeof index === 'number' ? list?.at(index) : undefined;
      return at ?? c.symbols.fresh();
    });
  },
  Concat: (c) => {
    const parts = c.node.input.map((_, index) => c.contents(index));
    return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
  },
  Slice: (c) => {
    const list = c.contents(0);
    const slice = slicesOf(c)?.[0];
    if (list === undefined || slice === undefined || slice.step !== 1) return undefined;
    const { first, count } = sliceRange(list.length, slice.start, slice.end, 1);
    return list.slice(first, first + count);
  },
  ConstantOfShape: (c) => {
    const length = c.contents(0)?.[0];
    const value = c.node.attribute.find(({ name }) => name === 'value')?.t;
    // Only the common ones and zeros: their tensor is written as int64_data or not at all.
    const fill = value === undefined ? 0 : Number(value.int64Data[0] ?? Number.NaN);
    return typeof length === 'number' && length <= MAX_CONTENTS && !Number.isNaN(fill)
      ? new Array<number>(length).fill(fill)
      : undefined;
  },
  Constant: (c) => {
    const one = c.node.attribute.find(({ name }) => name === 'value_int');
    return one === undefined ? intsAttribute(c.node, 'value_ints') : [Number(one.i)];
  },
  Add: arithmetic((a, b) => a + b, 0),
  Sub: arithmetic((a, b) => a - b, 0),
  Mul: arithmetic((a, b) => a * b, 1),
  Div: arithmetic((a, b) => Math.trunc(a / b), 1),
};
