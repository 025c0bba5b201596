// Boxes drawn onto pictures: the pixels of frames, what stays as it was, and labels that are no markup.
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { drawBoxes, drawnEncoding, overlayOf } from '../../src/detection/draw.js';
import { temporaryFolder } from '../onnx/helpers.js';

const grey = { r: 90, g: 90, b: 90 };

async function picture(
  name: string,
  { channels = 3, orientation = 1 }: { channels?: 3 | 4; orientation?: number } = {},
) {
  const path = join(temporaryFolder(), name);
  const blank = sharp({ create: { width: 200, height: 100, channels, background: { ...grey, alpha: 1 } } });
  await blank.withMetadata({ orientation }).toFile(path);
  return path;
}

async function pixelsOf(bytes: Uint8Array) {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
  return {
    ...info,
    at: (x: number, y: number) => [...data.subarray((y * info.width + x) * info.channels).subarray(0, 3)],
  };
}

describe('drawBoxes', () => {
  const box = { box: [50, 40, 100, 30], label: 'dog 0.97', category: 0 } as const;

  it.each(['a.png', 'b.jpg', 'c.webp'])('draws the frame and the plate, and leaves the rest: %s', async (name) => {
    const bytes = await drawBoxes(await picture('in.png'), [box], name);
    expect((await sharp(bytes).metadata()).format).toBe(drawnEncoding(name)[0]);
    const { at, width, height } = await pixelsOf(bytes);
    expect([width, height]).toEqual([200, 100]);
    const near = (actual: number[], expected: number[]) => {
      for (const [index, value] of expected.entries()) expect(Math.abs((actual[index] ?? 0) - value)).toBeLessThan(80);
    };
    near(at(100, 70), [170, 0, 0]); // lower edge
    near(at(52, 30), [170, 0, 0]); // plate above the box
    near(at(100, 55), [90, 90, 90]); // inside
    near(at(20, 55), [90, 90, 90]); // outside
  });

  it('writes the label in white', async () => {
    const { at } = await pixelsOf(await drawBoxes(await picture('in.png'), [box], 'a.png'));
    const plate = Array.from({ length: 11 * 50 }, (_, index) => at(52 + (index % 50), 29 + Math.floor(index / 50)));
    expect(plate.filter((color) => color.every((channel) => channel > 200)).length).toBeGreaterThan(20);
  });

  it('turns pictures as EXIF says, and takes grey ones and transparent ones', async () => {
    const turned = await pixelsOf(await drawBoxes(await picture('in.jpg', { orientation: 6 }), [box], 'a.png'));
    expect([turned.width, turned.height]).toEqual([100, 200]);
    const path = join(temporaryFolder(), 'grey.png');
    await sharp(await picture('in.png'))
      .toColourspace('b-w')
      .toFile(path);
    expect((await pixelsOf(await drawBoxes(path, [box], 'a.png'))).at(100, 70)[0]).toBeGreaterThan(140);
    const clear = await drawBoxes(await picture('in.png', { channels: 4 }), [box], 'a.png');
    expect((await pixelsOf(clear)).at(100, 70)[0]).toBeGreaterThan(140);
  });

  it('refuses other endings and files that are no pictures', async () => {
    await expect(drawBoxes(await picture('in.png'), [], 'a.bmp')).rejects.toThrow('a file that ends in .png, .jpg');
    await expect(drawBoxes(join(temporaryFolder(), 'none.png'), [], 'a.png')).rejects.toThrow('Could not read');
  });
});

describe('overlayOf', () => {
  const size = { width: 400, height: 280 };
  const overlay = (label: string, box: [number, number, number, number]) =>
    overlayOf([{ label, box, category: 3 }], size);

  it('escapes labels', () => {
    expect(overlay('<b>&"\u0007', [0, 0, 1, 1])).toContain('>&lt;b&gt;&amp;"?</text>');
  });

  it('keeps plates inside the picture', () => {
    // The font is 280 / 28 = 10 pixels, the plate 13 high and 0.6 * 10 * 4 + 5 = 29 wide.
    expect(overlay('bird', [-9, -9, 50, 50])).toContain('<rect x="0" y="0" width="29" height="13"');
    expect(overlay('bird', [390, 270, 50, 50])).toContain('<rect x="371" y="257" width="29" height="13"');
    expect(overlay('bird', [100, 5, 50, 50])).toContain('y="5" width="29" height="13"');
  });

  it('draws the first on top, and categories in different colours', () => {
    const boxes = Array.from({ length: 80 }, (_, category) => ({
      label: `${category}`,
      box: [1, 1, 2, 2] as const,
      category,
    }));
    const svg = overlayOf(boxes, size);
    expect(svg.lastIndexOf('>0</text>')).toBeGreaterThan(svg.lastIndexOf('>1</text>'));
    expect(new Set(svg.match(/stroke="rgb[^"]*"/g)).size).toBe(80);
  });
});
