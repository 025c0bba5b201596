// What `newModel` can be asked for: the architectures, their options with ranges and defaults, and the check of both.
// Shared by the programming interface and the command line, so that both say the same of a wrong option.
import { invalidOption, SecateurError } from '../src/errors.js';
import { didYouMean } from '../src/spelling.js';

/** Architectures that can be made. */
export const modelNames = ['lenet5', 'resnet56', 'yolov4'] as const;

export type ModelName = (typeof modelNames)[number];

/** Options of {@link newModel}; which of them an architecture takes is in {@link optionsOf}. */
export interface NewModelOptions {
  /** Seed of the initial weights: equal seeds give equal bytes. A non-negative safe integer. @default 0 */
  seed?: number | undefined;
  /** Number of classes, 1 to 65,536. @default 10; 80 for yolov4 */
  classes?: number | undefined;
  /** yolov4: height and width of the input in pixels, a multiple of 32 from 32 to 8,192. @default 416 */
  size?: number | undefined;
  /** resnet56: layers with weights, 6n + 2 from 8 to 1,202: 20, 32, 44, 56, 110, ... @default 56 */
  depth?: number | undefined;
  /** yolov4: build YOLOv4-tiny. @default false */
  tiny?: boolean | undefined;
}

/** The options that each architecture takes. */
export const optionsOf = {
  lenet5: ['seed', 'classes'],
  resnet56: ['seed', 'classes', 'depth'],
  yolov4: ['seed', 'classes', 'size', 'tiny'],
} as const satisfies Record<ModelName, readonly (keyof NewModelOptions)[]>;

/** Every option with its value. */
export type ResolvedOptions = { [Name in keyof NewModelOptions]-?: Exclude<NewModelOptions[Name], undefined> };

/**
 * Checks a name and options and fills in the defaults.
 *
 * @throws SecateurError INVALID_OPTION on an unknown name, an option that is unknown or of another architecture, or a
 * value outside its range.
 */
export function resolveOptions(name: string, options: NewModelOptions): { name: ModelName; options: ResolvedOptions } {
  const known = modelNames.find((candidate) => candidate === name);
  if (known === undefined) throw unknownWord('model', name, modelNames);
  const allowed: readonly string[] = optionsOf[known];
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined && !allowed.includes(key)) throw unknownWord(`option of ${known}`, key, allowed);
  }
  const { seed = 0, classes = known === 'yolov4' ? 80 : 10, size = 416, depth = 56, tiny = false } = options;
  check('seed', seed, Number.isSafeInteger(seed) && seed >= 0, 'a non-negative safe integer');
  check('classes', classes, inRange(classes, 1, 65_536), 'an integer from 1 to 65536');
  check('size', size, inRange(size, 32, 8192) && size % 32 === 0, 'a multiple of 32 from 32 to 8192');
  check(
    'depth',
    depth,
    inRange(depth, 8, 1202) && depth % 6 === 2,
    '6n + 2 from 8 to 1202, such as 20, 32, 44, 56 or 110',
  );
  check('tiny', tiny, typeof tiny === 'boolean', 'true or false');
  return { name: known, options: { seed, classes, size, depth, tiny } };
}

function inRange(value: number, low: number, high: number): boolean {
  return Number.isSafeInteger(value) && value >= low && value <= high;
}

function check(option: string, value: unknown, valid: boolean, expected: string): void {
  if (!valid) throw invalidOption(option, expected, value);
}

function unknownWord(what: string, word: string, known: readonly string[]): SecateurError {
  const expected = `one of ${known.join(', ')}`;
  const message = `Expected ${what} to be ${expected}, got ${JSON.stringify(word)}${didYouMean(word, known)}`;
  return new SecateurError('INVALID_OPTION', message, { option: what, expected, actual: word });
}
