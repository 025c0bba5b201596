// Augmentations as people write them: `crop:4` and `flip`.
import { invalidOption } from '../errors.js';
import { randomCrop, randomFlip } from './augment.js';
import type { Augmentation } from './batches.js';
import type { Dataset } from './dataset.js';

/**
 * @param words each `crop:PIXELS` (pads, and cuts a window of the old size: a random shift), or `flip` (mirrors).
 * @throws SecateurError INVALID_OPTION
 */
export function parseAugmentations(words: readonly string[], dataset: Dataset): Augmentation[] {
  return words.map((word) => {
    if (word === 'flip') return randomFlip();
    const pixels = /^crop:(\d{1,4})$/.exec(word)?.[1];
    if (pixels === undefined) throw invalidOption('augment', 'flip or crop:PIXELS, such as crop:4', word);
    return randomCrop(Number(pixels), dataset.black ?? 0);
  });
}
