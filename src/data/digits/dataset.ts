// The data set that needs no download: digits drawn when they are read. An image follows from the split and its index
// alone, so the set is the same in every process and nothing is kept in memory.

import { checkKeys, checkNumber } from '../../options.js';
import { checkClassIndices, type DataOptions, type Dataset, type Labels, type Split } from '../dataset.js';
import { blackOf, checkNormalization, describeNormalization, greyNormalization, setLabel } from '../images.js';
import { Random } from '../random.js';
import { Drawer, SIDE } from './draw.js';
import { glyphs } from './glyphs.js';

/** What {@link digitsDataset} takes. */
export interface DigitsOptions extends DataOptions {
  /** Images. @default 60000 to train, 10000 to test, as in MNIST */
  length?: number;
  /** Another seed gives other images of the same kind. @default 0 */
  seed?: number;
}

/**
 * Drawn digits: `[1, 28, 28]`, white on black like MNIST's, ten classes; the sample with index i shows the digit i mod
 * 10. The splits share no image.
 *
 * @throws SecateurError INVALID_OPTION
 */
export function digitsDataset(split: Split, options: DigitsOptions = {}): Dataset {
  checkKeys('option', Object.keys(options), ['length', 'seed', 'normalization', 'classes']);
  const { length = split === 'train' ? 60_000 : 10_000, seed = 0, normalization = greyNormalization } = options;
  checkNumber('length', length, { least: 1, most: 2 ** 32, whole: true });
  checkNumber('seed', seed, { least: 0, most: Number.MAX_SAFE_INTEGER, whole: true });
  const classes = options.classes ?? glyphs.length;
  checkClassIndices([glyphs.length - 1], classes, 'the drawn digits');
  checkNormalization(normalization, 1);
  const draw = digitDrawer(split, seed);
  const [mean = 0, deviation = 1] = [normalization.mean[0], normalization.deviation[0]];
  return {
    name: `digits (${split})`,
    length,
    inputShape: [1, SIDE, SIDE],
    labelType: 'int64',
    labelShape: [],
    classes,
    normalization: describeNormalization(normalization),
    ...blackOf(normalization),
    read: (indices: Uint32Array, inputs: Float32Array, labels: Labels) => {
      let to = 0;
      for (const [row, index] of indices.entries()) {
        for (const value of draw(index)) inputs[to++] = (value - mean) / deviation;
        setLabel(labels, row, index % glyphs.length);
      }
    },
  };
}

/** Draws the image of an index; the result is valid until the next call. Ink in [0, 1]. */
export function digitDrawer(split: Split, seed: number): (index: number) => Float32Array {
  const drawer = new Drawer();
  const random = new Random();
  const stream = split === 'train' ? 1 : 2;
  return (index) => {
    random.reseed(seed, stream, index);
    const forms = glyphs[index % glyphs.length] ?? [];
    const form = forms[random.below(forms.length)];
    if (form) drawer.draw(form, random);
    return drawer.ink;
  };
}
