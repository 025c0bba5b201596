// How the ten digits are written: strokes of straight pieces and arcs in a frame of x in [-0.6, 0.6] and y in [-1, 1],
// y downwards. Most digits have more than one form, as in handwriting. Shapes only; draw.ts moves and inks them.

type Point = readonly [x: number, y: number];
/** Points that a pen joins without being lifted. */
type Stroke = readonly Point[];

/** One way to write a digit: the ends of its line segments, `[x0, y0, x1, y1]` after each other. */
export type Glyph = Float32Array;

const DEGREES_A_PIECE = 24;

/** Points of an arc; angles in degrees, 0 to the right, 90 down. */
function arc(centre: Point, radii: Point, from: number, to: number): Point[] {
  const pieces = Math.max(2, Math.ceil(Math.abs(to - from) / DEGREES_A_PIECE));
  return Array.from({ length: pieces + 1 }, (_, piece) => {
    const angle = ((from + ((to - from) * piece) / pieces) * Math.PI) / 180;
    return [centre[0] + radii[0] * Math.cos(angle), centre[1] + radii[1] * Math.sin(angle)] as const;
  });
}

function glyph(...strokes: Stroke[]): Glyph {
  const segments: number[] = [];
  for (const stroke of strokes) {
    for (const [index, [x, y]] of stroke.slice(1).entries()) segments.push(...(stroke[index] ?? [x, y]), x, y);
  }
  return Float32Array.from(segments);
}

/** For each digit, its forms. */
export const glyphs: readonly (readonly Glyph[])[] = [
  // 0: an oval, and one that the pen does not quite close.
  [glyph(arc([0, 0], [0.56, 1], -90, 270)), glyph(arc([0, 0], [0.5, 1], -60, 280))],
  // 1: a stroke; with a flag; with a flag and a foot.
  [
    glyph([
      [0, -1],
      [0, 1],
    ]),
    glyph([
      [-0.3, -0.6],
      [0.06, -1],
      [0.06, 1],
    ]),
    glyph(
      [
        [-0.3, -0.62],
        [0.03, -1],
        [0.03, 1],
      ],
      [
        [-0.35, 1],
        [0.4, 1],
      ],
    ),
  ],
  // 2: with a straight foot; with a loop at the lower left.
  [
    glyph([...arc([0, -0.47], [0.5, 0.53], -165, 35), [-0.52, 1], [0.58, 1]]),
    glyph([...arc([0, -0.47], [0.48, 0.53], -150, 45), ...arc([-0.28, 0.75], [0.22, 0.22], 45, 300), [0.6, 1]]),
  ],
  // 3: two bows; with a flat top.
  [
    glyph([...arc([-0.02, -0.49], [0.46, 0.51], -150, 80), ...arc([-0.02, 0.47], [0.54, 0.53], -80, 150)]),
    glyph([[-0.45, -1], [0.42, -1], [-0.02, -0.2], ...arc([-0.05, 0.4], [0.55, 0.6], -80, 145)]),
  ],
  // 4: closed; open.
  [
    glyph([
      [0.3, 1],
      [0.3, -1],
      [-0.55, 0.3],
      [0.6, 0.3],
    ]),
    glyph(
      [
        [-0.38, -1],
        [-0.5, 0.1],
        [0.55, 0.1],
      ],
      [
        [0.34, -0.95],
        [0.28, 1],
      ],
    ),
  ],
  // 5: with a square corner; with a round shoulder.
  [
    glyph([[0.5, -1], [-0.38, -1], [-0.44, -0.1], ...arc([0, 0.38], [0.54, 0.62], -135, 145)]),
    glyph([[0.5, -0.95], [-0.3, -0.95], ...arc([-0.05, 0.35], [0.52, 0.62], -120, 140)]),
  ],
  // 6: a long bow into a loop; a straight stem into a loop.
  [
    glyph([...arc([0.42, 0.42], [0.92, 1.42], -88, -180), ...arc([0, 0.45], [0.5, 0.53], 180, -180)]),
    glyph([[0.2, -1], [-0.42, 0.2], ...arc([0, 0.47], [0.47, 0.52], 200, -165)]),
  ],
  // 7: plain; with a bar.
  [
    glyph([
      [-0.52, -1],
      [0.55, -1],
      [-0.1, 1],
    ]),
    glyph(
      [
        [-0.52, -0.82],
        [-0.5, -1],
        [0.55, -1],
        [-0.15, 1],
      ],
      [
        [-0.25, 0.02],
        [0.48, 0.02],
      ],
    ),
  ],
  // 8: two rings; one crossing line.
  [
    glyph(arc([0, -0.52], [0.42, 0.48], 90, 450), arc([0, 0.49], [0.52, 0.52], -90, 270)),
    glyph([...arc([0, -0.52], [0.42, 0.48], -20, -205), ...arc([0, 0.49], [0.5, 0.52], -60, 210), [0.4, -0.68]]),
  ],
  // 9: a ring and a straight stem; a ring and a hook.
  [
    glyph([...arc([0, -0.47], [0.48, 0.52], 0, -360), [0.42, 1]]),
    glyph([...arc([0, -0.47], [0.5, 0.52], 0, -360), [0.48, 0.3], ...arc([0.02, 0.45], [0.46, 0.55], 0, 125)]),
  ],
];
