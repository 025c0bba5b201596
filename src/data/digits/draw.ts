// Draws one digit: bends its strokes, moves them by a random shift, scale, slant and rotation, and inks them by the
// distance of each pixel to the nearest line segment. All that is random comes from the stream that is given.

import type { Random } from '../random.js';
import type { Glyph } from './glyphs.js';

/** Width and height of an image. */
export const SIDE = 28;
const PIXELS = SIDE * SIDE;
const CENTRE = (SIDE - 1) / 2;
const HALF_HEIGHT = 9.2;
const HALF_WIDTH = 9.6;

/** What varies from image to image. */
interface Hand {
  /** The linear map from the glyph's frame to pixels, and the middle. */
  xx: number;
  xy: number;
  yx: number;
  yy: number;
  x0: number;
  y0: number;
  /** Bends: amplitudes in the glyph's frame, and phases. */
  bendX: number;
  bendY: number;
  phaseX: number;
  phaseY: number;
}

function randomHand(random: Random): Hand {
  const turn = random.between(-0.24, 0.24);
  const slant = random.between(-0.38, 0.3);
  const wide = HALF_WIDTH * random.between(0.62, 1.15);
  const high = HALF_HEIGHT * random.between(0.74, 1.08);
  const cos = Math.cos(turn);
  const sin = Math.sin(turn);
  return {
    xx: cos * wide,
    xy: -(cos * slant + sin) * high,
    yx: sin * wide,
    yy: (cos - sin * slant) * high,
    x0: CENTRE + random.between(-2.6, 2.6),
    y0: CENTRE + random.between(-2.2, 2.2),
    bendX: random.between(-0.13, 0.13),
    bendY: random.between(-0.11, 0.11),
    phaseX: random.between(0, 2 * Math.PI),
    phaseY: random.between(0, 2 * Math.PI),
  };
}

/** Draws digits into memory of its own, so that an image costs no allocation. */
export class Drawer {
  /** The last drawing: `[28, 28]`, ink in [0, 1]. */
  readonly ink = new Float32Array(PIXELS);
  readonly #distance = new Float32Array(PIXELS);
  #segments = new Float64Array(0);

  /** Draws a glyph anew into {@link ink}. */
  draw(glyph: Glyph, random: Random): void {
    const segments = this.#place(glyph, randomHand(random));
    const radius = random.between(0.55, 1.75);
    const reach = radius + 1;
    this.#distance.fill(reach * reach);
    for (let at = 0; at < glyph.length; at += 4) this.#reach(segments, at, reach);
    this.#ink(reach, random);
  }

  /** The segments in pixels. */
  #place(glyph: Glyph, hand: Hand): Float64Array {
    if (this.#segments.length < glyph.length) this.#segments = new Float64Array(glyph.length);
    const segments = this.#segments;
    for (let at = 0; at < glyph.length; at += 2) {
      const u = glyph[at] ?? 0;
      const v = glyph[at + 1] ?? 0;
      const x = u + hand.bendX * Math.sin(2.4 * v + hand.phaseX);
      const y = v + hand.bendY * Math.sin(3.1 * u + hand.phaseY);
      segments[at] = hand.x0 + hand.xx * x + hand.xy * y;
      segments[at + 1] = hand.y0 + hand.yx * x + hand.yy * y;
    }
    return segments;
  }

  /** Lowers the squared distances of the pixels within `reach` of one segment. */
  #reach(segments: Float64Array, at: number, reach: number): void {
    const x0 = segments[at] ?? 0;
    const y0 = segments[at + 1] ?? 0;
    const dx = (segments[at + 2] ?? 0) - x0;
    const dy = (segments[at + 3] ?? 0) - y0;
    const perLength = 1 / Math.max(dx * dx + dy * dy, 1e-9);
    const left = Math.max(0, Math.ceil(Math.min(x0, x0 + dx) - reach));
    const right = Math.min(SIDE - 1, Math.floor(Math.max(x0, x0 + dx) + reach));
    const top = Math.max(0, Math.ceil(Math.min(y0, y0 + dy) - reach));
    const bottom = Math.min(SIDE - 1, Math.floor(Math.max(y0, y0 + dy) + reach));
    const distance = this.#distance;
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const px = column - x0;
        const py = row - y0;
        const along = Math.min(1, Math.max(0, (px * dx + py * dy) * perLength));
        const ex = px - along * dx;
        const ey = py - along * dy;
        const squared = ex * ex + ey * ey;
        const pixel = row * SIDE + column;
        if (squared < (distance[pixel] ?? 0)) distance[pixel] = squared;
      }
    }
  }

  /** Ink fades over one pixel at the edge of a stroke; paper and ink are a little noisy. */
  #ink(reach: number, random: Random): void {
    const strength = random.between(0.72, 1);
    const noise = random.between(0, 0.16);
    const soft = random.between(0.7, 1.4);
    for (let pixel = 0; pixel < PIXELS; pixel++) {
      const squared = this.#distance[pixel] ?? 0;
      const drawn = squared >= reach * reach ? 0 : Math.min(1, (reach - Math.sqrt(squared)) / soft);
      // The sum of two uniform numbers, both from one draw: enough like a normal distribution, and quick.
      const bits = random.bits();
      const grain = ((bits & 0xffff) + (bits >>> 16)) / 0x10000 - 1;
      this.ink[pixel] = Math.min(1, Math.max(0, drawn * strength + noise * grain));
    }
  }
}
