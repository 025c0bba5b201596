// Shapes with unknown lengths. A length is a number or the name of a symbol; two equal symbols are the same length.

/** A length: known, or a symbol such as `N`. Symbols that begin with `?` stand for lengths that nobody named. */
export type Dim = number | string;

/** Lengths of all axes. */
export type Shape = readonly Dim[];

/** Gives out symbols that stand for nothing else. */
export class Symbols {
  #count = 0;

  fresh(): string {
    this.#count += 1;
    return `?${this.#count}`;
  }
}

/** The axis counted from the front; operators may count from the back. */
export function frontAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** The product of lengths, or undefined where one is a symbol. Zero wins over symbols. */
export function productOf(dims: Shape): number | undefined {
  if (dims.includes(0)) return 0;
  let product = 1;
  for (const dim of dims) {
    if (typeof dim === 'string') return undefined;
    product *= dim;
  }
  return product;
}

export function sameShape(a: Shape | undefined, b: Shape | undefined): boolean {
  return a !== undefined && b !== undefined && a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** The shape that operands are broadcast to, NumPy's way. */
export function broadcast(shapes: readonly Shape[], symbols: Symbols): Shape {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const dims = shapes.flatMap((shape) => shape[axis - rank + shape.length] ?? []).filter((dim) => dim !== 1);
    const known = dims.find((dim) => typeof dim === 'number');
    const [first] = dims;
    if (first === undefined) return 1;
    return known ?? (dims.every((dim) => dim === first) ? first : symbols.fresh());
  });
}
