// Picture files as inputs of a detector: scale, place, colours of every kind of file, and what is refused.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type { Box } from '../../../src/data/detection/boxes.js';
import { letterboxOf, loadLetterboxed, toImage, toNetwork } from '../../../src/data/detection/letterbox.js';
import { pictureSize } from '../../../src/data/detection/picture.js';
import { failure, temporaryFolder } from '../helpers.js';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
/** A picture of one colour. */
const plain = (width: number, height: number, [r, g, b]: readonly [number, number, number]) =>
  sharp({ create: { width, height, channels: 3, background: { r, g, b } } });
/** Red, green and blue of a pixel of `[3, size, size]`, as bytes. */
const pixel = (pixels: Float32Array, size: number, x: number, y: number) =>
  [0, 1, 2].map((plane) => Math.round(255 * pixels[plane * size * size + y * size + x]!));

describe('placing', () => {
  test('a wide picture is in the middle, with grey above and below', async () => {
    await plain(40, 20, [255, 0, 51]).png().toFile(at('wide.png'));
    const { pixels, letterbox, original } = await loadLetterboxed(at('wide.png'), 8);
    expect(letterbox).toEqual({ scale: 0.2, left: 0, top: 2 });
    expect(original).toMatchObject({ width: 40, height: 20 });
    expect(pixels).toHaveLength(3 * 8 * 8);
    const rows = Array.from({ length: 8 }, (_, y) => pixel(pixels, 8, 3, y));
    const [grey, red] = [
      [128, 128, 128],
      [255, 0, 51],
    ];
    expect(rows).toEqual([grey, grey, red, red, red, red, grey, grey]);
    expect(pixels[0]).toBe(0.5);
  });

  test('a tall one has grey at its sides, and a small one is scaled up', async () => {
    await plain(1, 3, [0, 255, 0]).png().toFile(at('tall.png'));
    const { pixels, letterbox } = await loadLetterboxed(at('tall.png'), 9);
    expect(letterbox).toEqual({ scale: 3, left: 3, top: 0 });
    expect([2, 3, 5, 6].map((x) => pixel(pixels, 9, x, 4)[0])).toEqual([128, 0, 0, 128]);
  });

  test('a picture so flat that nothing of it would be left keeps a row', async () => {
    await plain(100, 1, [0, 0, 255]).png().toFile(at('flat.png'));
    const { pixels } = await loadLetterboxed(at('flat.png'), 8);
    expect(pixels.filter((value) => value === 1)).toHaveLength(8);
  });

  test('boxes come back as they were', () => {
    const size = fc.record({ width: fc.integer({ min: 1, max: 4000 }), height: fc.integer({ min: 1, max: 4000 }) });
    const unit = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(size, fc.integer({ min: 1, max: 1024 }), fc.tuple(unit, unit, unit, unit), (image, square, units) => {
        const [left, top] = [units[0] * image.width, units[1] * image.height];
        const box: Box = [left, top, units[2] * (image.width - left), units[3] * (image.height - top)];
        const back = toImage(toNetwork(box, letterboxOf(image, square)), letterboxOf(image, square), image);
        for (const [side, value] of back.entries()) expect(value).toBeCloseTo(box[side]!, 6);
      }),
    );
  });

  test('boxes that reach into the grey are clipped to the picture', () => {
    const image = { width: 40, height: 20 };
    const letterbox = letterboxOf(image, 8);
    expect(toImage([-1, 0, 10, 8], letterbox, image)).toEqual([0, 0, 40, 20]);
    expect(toImage([0, 0, 8, 1], letterbox, image)).toEqual([0, 0, 40, 0]);
  });
});

describe('every kind of file', () => {
  const orange = [200, 100, 40] as const;

  test('JPEG, WebP, TIFF, GIF, 16-bit PNG, AVIF', async () => {
    const source = plain(16, 16, orange);
    await source.clone().jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toFile(at('a.jpg'));
    await source.clone().webp({ lossless: true }).toFile(at('a.webp'));
    await source.clone().tiff().toFile(at('a.tiff'));
    await source.clone().gif().toFile(at('a.gif'));
    await source.clone().toColourspace('rgb16').png().toFile(at('a.png'));
    await source.clone().avif({ quality: 100 }).toFile(at('a.avif'));
    for (const name of ['a.jpg', 'a.webp', 'a.tiff', 'a.gif', 'a.png', 'a.avif']) {
      const { pixels } = await loadLetterboxed(at(name), 4);
      for (const [channel, value] of pixel(pixels, 4, 1, 2).entries()) {
        expect(Math.abs(value - orange[channel]!), name).toBeLessThanOrEqual(3);
      }
    }
  });

  test('grey has three equal channels; CMYK becomes RGB; transparency becomes grey', async () => {
    await plain(8, 8, [90, 90, 90]).toColourspace('b-w').jpeg({ quality: 100 }).toFile(at('grey.jpg'));
    expect((await sharp(at('grey.jpg')).metadata()).channels).toBe(1);
    expect(pixel((await loadLetterboxed(at('grey.jpg'), 4)).pixels, 4, 0, 0)).toEqual([90, 90, 90]);
    await plain(8, 8, [250, 10, 10]).toColourspace('cmyk').jpeg({ quality: 100 }).toFile(at('cmyk.jpg'));
    expect((await sharp(at('cmyk.jpg')).metadata()).channels).toBe(4);
    const [red, green, blue] = pixel((await loadLetterboxed(at('cmyk.jpg'), 4)).pixels, 4, 0, 0);
    expect(red).toBeGreaterThan(180);
    expect(Math.max(green!, blue!)).toBeLessThan(80);
    const background = { r: 0, g: 0, b: 0, alpha: 0 };
    await sharp({ create: { width: 8, height: 8, channels: 4, background } })
      .png()
      .toFile(at('clear.png'));
    expect(pixel((await loadLetterboxed(at('clear.png'), 4)).pixels, 4, 0, 0)).toEqual([128, 128, 128]);
  });

  test('EXIF rotation is applied, and sizes are those of the upright picture', async () => {
    const halves = sharp(Buffer.from([255, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 255]), {
      raw: { width: 4, height: 1, channels: 3 },
    });
    await halves.withMetadata({ orientation: 6 }).png().toFile(at('turned.png'));
    expect(await pictureSize(at('turned.png'))).toMatchObject({ width: 1, height: 4 });
    const { pixels, letterbox } = await loadLetterboxed(at('turned.png'), 4);
    expect(letterbox).toEqual({ scale: 1, left: 1, top: 0 });
    expect([0, 1, 2, 3].map((y) => pixel(pixels, 4, 1, y)[0])).toEqual([255, 255, 0, 0]);
  });
});

describe('what is refused', () => {
  test.each([
    ['missing.jpg', undefined, /^IO: Could not read .*missing\.jpg: there is no such file/],
    ['text.jpg', Buffer.from('not a picture'), /^INVALID_DATA: Expected .*text\.jpg to be a whole picture/],
    ['empty.jpg', Buffer.alloc(0), /^INVALID_DATA: Expected .*empty\.jpg to be a whole picture/],
    [
      'drawing.jpg',
      Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'),
      /^INVALID_DATA: .*drawing\.jpg .*its format is svg/,
    ],
  ])('%s', async (name, bytes, message) => {
    if (bytes) writeFileSync(at(name), bytes);
    expect(await failure(() => loadLetterboxed(at(name), 32))).toMatch(message);
  });

  test('a JPEG or PNG cut short anywhere', async () => {
    const noise = Buffer.from(Uint8Array.from({ length: 64 * 64 * 3 }, (_, index) => (index * 7919) % 251));
    const image = sharp(noise, { raw: { width: 64, height: 64, channels: 3 } });
    for (const bytes of [await image.clone().jpeg().toBuffer(), await image.clone().png().toBuffer()]) {
      for (const share of [0.01, 0.2, 0.5, 0.9]) {
        writeFileSync(at('cut'), bytes.subarray(0, bytes.length * share));
        expect(await failure(() => loadLetterboxed(at('cut'), 32))).toMatch(/^INVALID_DATA: .*cannot be decoded/);
      }
    }
  });

  test('a size that is none', async () => {
    expect(await failure(() => loadLetterboxed(at('wide.png'), 0))).toMatch(/^INVALID_OPTION: Expected size/);
  });
});
