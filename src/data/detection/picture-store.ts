// Pictures of a data set, scaled to a network's input, kept as bytes in memory up to a bound. What is kept stays: where
// every picture is wanted once an epoch, throwing out the oldest would throw out each just before it is wanted.

import { invalidData } from '../dataset.js';
import type { DetectionImage } from './dataset.js';
import { type Picture, readPicture } from './picture.js';

/** 600 pictures at 416 pixels, 4,000 at 160. */
const LIMIT_BYTES = 2 ** 28;

export class PictureStore {
  /** Pixels of the square that pictures are scaled to fit. */
  readonly square: number;
  readonly #limit: number;
  readonly #kept = new Map<string, Promise<Picture>>();
  #bytes = 0;

  constructor(square: number, limitBytes = LIMIT_BYTES) {
    this.square = square;
    this.#limit = limitBytes;
  }

  /** Bytes of pictures that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * A picture that just fits the square; not to be changed.
   *
   * @throws SecateurError IO; INVALID_DATA where it cannot be decoded, or has another size than its labels were made for.
   */
  load(image: DetectionImage): Promise<Picture> {
    const kept = this.#kept.get(image.path);
    if (kept !== undefined) return kept;
    const coming = this.#read(image);
    this.#kept.set(image.path, coming);
    return coming;
  }

  async #read({ path, width, height }: DetectionImage): Promise<Picture> {
    try {
      const { picture, original } = await readPicture(path, this.square);
      if (original.width !== width || original.height !== height) {
        const problem = `it is ${original.width} x ${original.height} (upright)`;
        throw invalidData(path, `${width} x ${height} pixels, as its labels say`, problem);
      }
      if (this.#bytes + picture.pixels.length > this.#limit) this.#kept.delete(path);
      else this.#bytes += picture.pixels.length;
      return picture;
    } catch (error) {
      this.#kept.delete(path);
      throw error;
    }
  }
}
