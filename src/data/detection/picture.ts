// Picture files as RGB bytes, by sharp. Any JPEG, PNG, WebP, TIFF, GIF or AVIF; grey, CMYK and 16-bit ones become sRGB, EXIF
// rotation is applied, transparency becomes grey. sharp is only loaded here, and only when a picture is.

import { readFile } from 'node:fs/promises';
import type sharp from 'sharp';
import type { Sharp } from 'sharp';
import { SecateurError } from '../../errors.js';
import { ioError } from '../../io-error.js';
import { invalidData } from '../dataset.js';
import type { Size } from './boxes.js';

/** No vector formats or documents: those are programs, and may refer to other files. */
const FORMATS = ['jpeg', 'png', 'webp', 'tiff', 'gif', 'heif'];
const GREY = { r: 128, g: 128, b: 128 };

/** Bytes `[height, width, 3]`, red, green, blue. */
export interface Picture extends Size {
  readonly pixels: Uint8Array;
}

/**
 * The library that decodes and encodes pictures.
 *
 * @throws SecateurError UNSUPPORTED where it is not installed for this platform.
 */
export async function loadSharp(): Promise<typeof sharp> {
  try {
    // Its types know no default where this is compiled to CommonJS; the module has one.
    return ((await import('sharp')) as unknown as { default: typeof sharp }).default;
  } catch (error) {
    throw notLoaded(error);
  }
}

/**
 * Decodes a file and scales it so that it just fits into a square.
 *
 * @param square pixels of the square's side, 1 or more.
 * @returns the scaled picture, and the size of the original, upright.
 * @throws SecateurError IO; INVALID_DATA where it is no picture, damaged or cut short; UNSUPPORTED
 */
export async function readPicture(path: string, square: number): Promise<{ picture: Picture; original: Size }> {
  const { image, original } = await openPicture(path);
  const scale = Math.min(square / original.width, square / original.height);
  const width = Math.max(1, Math.round(original.width * scale));
  const height = Math.max(1, Math.round(original.height * scale));
  try {
    const pixels = await image
      .autoOrient()
      .flatten({ background: GREY })
      .resize(width, height, { fit: 'fill', kernel: 'linear', fastShrinkOnLoad: false })
      .toColourspace('srgb')
      .raw()
      .toBuffer();
    return { picture: { pixels, width, height }, original };
  } catch (error) {
    throw unreadable(path, error);
  }
}

/**
 * The size of a picture, upright; reads the file, but decodes only its header.
 *
 * @throws SecateurError as {@link readPicture}.
 */
export async function pictureSize(path: string): Promise<Size> {
  return (await openPicture(path)).original;
}

/**
 * A picture to work on, and its size, upright. Rotation by EXIF has not been applied yet.
 *
 * @throws SecateurError as {@link readPicture}.
 */
// Through memory: libvips would take brackets in a file's name as options.
export async function openPicture(path: string): Promise<{ image: Sharp; original: Size }> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw ioError('read', path, error);
  });
  const sharp = await loadSharp();
  try {
    const image = sharp(bytes, { failOn: 'error' });
    const { format, autoOrient } = await image.metadata();
    if (FORMATS.includes(format)) return { image, original: autoOrient };
    throw new Error(`its format is ${format}`);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function notLoaded(cause: unknown): SecateurError {
  const why = cause instanceof Error ? cause.message.split('\n', 1)[0] : String(cause);
  const message = `Expected the package sharp, which decodes pictures, to load, but ${why}; npm install sharp brings it`;
  return new SecateurError('UNSUPPORTED', message, { cause });
}

/** The error for a file that does not decode. */
export function unreadable(path: string, error: unknown): SecateurError {
  const why = error instanceof Error ? error.message.split('\n', 1)[0] : String(error);
  return invalidData(
    path,
    'a whole picture (JPEG, PNG, WebP, TIFF, GIF, AVIF)',
    `it cannot be decoded (${why})`,
    error,
  );
}
