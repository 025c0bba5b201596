// Options of packing and unpacking, and their checks.

import { checkKeys } from '../options.js';
import type { FileOptions } from '../prune/options.js';
import { checkFileOptions, checkObject, checkText, checkWord } from '../prune/options.js';

/** How values that are not zero are stored. */
export type PackedValues = 'f32' | 'f16' | 'codebook8';

/** `packed`: the model unpacks itself. `sparse`: ONNX's `sparse_initializer`. */
export type PackFormat = 'packed' | 'sparse';

/** What packing and unpacking share. */
type WorkOptions = Pick<FileOptions, 'threads' | 'onProgress' | 'signal'>;

export interface UnpackOptions extends WorkOptions {
  /** The file to write; may be the input. */
  output: string;
}

export interface PackOptions extends UnpackOptions {
  /** @default 'packed' */
  format?: PackFormat | undefined;
  /**
   * `f32` changes nothing. `f16` rounds the parameters of layers to float16; `codebook8` stores weights as one of 256
   * values, and biases as float16. Both only where that is smaller, and only with the format `packed`.
   *
   * @default 'f32'
   */
  values?: PackedValues | undefined;
}

const workKeys = ['output', 'threads', 'onProgress', 'signal'] as const;

export function checkUnpackOptions(path: unknown, options: UnpackOptions): void {
  checkObject(options);
  checkKeys('option', Object.keys(options), workKeys);
  checkWork(path, options);
}

export function checkPackOptions(path: unknown, options: PackOptions): void {
  checkObject(options);
  checkKeys('option', Object.keys(options), ['format', 'values', ...workKeys]);
  checkWork(path, options);
  if (options.format !== undefined) checkWord('format', options.format, ['packed', 'sparse']);
  if (options.values !== undefined) checkWord('values', options.values, ['f32', 'f16', 'codebook8']);
  if (options.format === 'sparse' && options.values !== undefined)
    checkWord('values with format sparse', options.values, ['f32']);
}

function checkWork(path: unknown, { output, threads, onProgress, signal }: UnpackOptions): void {
  checkFileOptions(path, { threads, onProgress, signal });
  checkText('output', output);
}
