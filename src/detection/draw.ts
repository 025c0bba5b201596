// Boxes with labels drawn onto a picture, as an SVG laid over it. The picture keeps its own size; nothing is detected here.
import { extname } from 'node:path';
import type { FormatEnum, JpegOptions, OutputOptions } from 'sharp';
import type { Box, Size } from '../data/detection/boxes.js';
import { openPicture, unreadable } from '../data/detection/picture.js';
import { invalidOption } from '../errors.js';

/** A box in pixels of the upright picture, and what is written beside it. */
export interface LabelledBox {
  readonly box: Box;
  readonly label: string;
  /** Decides the colour. */
  readonly category: number;
}

type Encoding = readonly [format: keyof FormatEnum, options?: OutputOptions | JpegOptions];

// Coarse colours would blur the frames.
const jpeg: Encoding = ['jpeg', { quality: 90, chromaSubsampling: '4:4:4' }];

const encodings: Readonly<Record<string, Encoding>> = {
  '.png': ['png'],
  '.jpg': jpeg,
  '.jpeg': jpeg,
  '.webp': ['webp', { quality: 90 }],
};

/** Endings of the files that can be drawn to. */
export const drawnEndings = Object.keys(encodings);

/** Turns between the hues of neighbouring categories; no two of the first hundreds come close. */
const GOLDEN_ANGLE = 137.508;

/**
 * A picture with boxes on it, encoded.
 *
 * @param path the picture; EXIF rotation is applied.
 * @param boxes the first is drawn on top.
 * @param output tells the format by its ending: PNG, JPEG or WebP.
 * @throws SecateurError INVALID_OPTION on another ending; IO; INVALID_DATA where the file is no picture.
 */
export async function drawBoxes(path: string, boxes: readonly LabelledBox[], output: string): Promise<Uint8Array> {
  const [format, options] = drawnEncoding(output);
  const { image, original } = await openPicture(path);
  try {
    const overlay = Buffer.from(overlayOf(boxes, original));
    return await image
      .autoOrient()
      .toColourspace('srgb')
      .composite([{ input: overlay }])
      .toFormat(format, options)
      .toBuffer();
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** @throws SecateurError INVALID_OPTION where the file's ending is none of {@link drawnEndings}. */
export function drawnEncoding(output: string): Encoding {
  const encoding = encodings[extname(output).toLowerCase()];
  if (encoding !== undefined) return encoding;
  throw invalidOption('output', `a file that ends in ${drawnEndings.join(', ')}`, output);
}

/** The SVG: per box a frame, and a plate with the label at its top, inside the picture. */
export function overlayOf(boxes: readonly LabelledBox[], { width, height }: Size): string {
  const side = Math.min(width, height);
  const stroke = Math.max(2, Math.round(side / 200));
  const font = Math.max(9, Math.round(side / 28));
  // All frames below all plates: a line through a label makes it hard to read.
  const frames = boxes.toReversed().map(({ box: [left, top, wide, high], category }) => {
    const line = `stroke="${colourOf(category)}" stroke-width="${stroke}"`;
    return `<rect x="${left}" y="${top}" width="${wide}" height="${high}" fill="none" ${line}/>`;
  });
  const plates = boxes.toReversed().map(({ box: [left, top], label, category }) => {
    // Glyphs of a sans-serif font are about 0.6 of its size wide.
    const [plateWidth, plateHeight] = [Math.ceil(0.6 * font * [...label].length + font / 2), Math.ceil(1.3 * font)];
    const x = clamp(left - stroke / 2, width - plateWidth);
    const y = top >= plateHeight ? top - plateHeight : clamp(top, height - plateHeight);
    return `
      <rect x="${x}" y="${y}" width="${plateWidth}" height="${plateHeight}" fill="${colourOf(category)}"/>
      <text x="${x + font / 4}" y="${y + font}" fill="white">${escapeText(label)}</text>`;
  });
  const style = `font-family="sans-serif" font-weight="bold" font-size="${font}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ${style}>${[...frames, ...plates].join('\n')}</svg>`;
}

/** Dark enough for white text. */
function colourOf(category: number): string {
  const hue = (category * GOLDEN_ANGLE) % 360;
  const channel = (shift: number) => {
    const distance = Math.min((hue + shift) % 360, 360 - ((hue + shift) % 360)) / 60; // from full, in sixths of the circle
    return Math.round(170 * Math.min(1, Math.max(0, 2 - distance)));
  };
  return `rgb(${channel(0)}, ${channel(240)}, ${channel(120)})`;
}

function clamp(value: number, most: number): number {
  return Math.max(0, Math.min(value, most));
}

/** Text of an XML document: names come from files, and control characters are not allowed at all. */
function escapeText(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
  return text.replace(/\p{Cc}|\p{Cs}/gu, '?').replace(/[&<>]/g, (character) => entities[character] ?? '');
}
