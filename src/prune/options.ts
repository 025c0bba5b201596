// The checks that `prune` and `inspect` share.
import { invalidOption } from '../errors.js';
import type { NativeProgress } from '../native/contract.js';
import { checkNumber } from '../options.js';
import type { NameFilters } from './prunable.js';

/** How far the work is, in bytes. */
export interface Progress {
  phase: Parameters<NativeProgress>[0];
  done: number;
  total: number;
}

/** Options of every call that works on a model file. */
export interface FileOptions extends NameFilters {
  /** Globs on names of tensors to take as prunable too, whatever uses them. @default [] */
  include?: readonly string[] | undefined;
  /** Globs on names of tensors to leave alone; stronger than `include`. @default [] */
  exclude?: readonly string[] | undefined;
  /** The most threads to use; 0 means all cores. Results do not depend on it. @default 0 */
  threads?: number | undefined;
  /** Called at most some 20 times a second. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Ends the call early with a SecateurError ABORTED; no file is changed. */
  signal?: AbortSignal | undefined;
}

/** The keys of FileOptions. */
export const fileKeys = ['include', 'exclude', 'threads', 'onProgress', 'signal'] as const;

/** Checks the values of FileOptions; `undefined` counts as not given. */
export function checkFileOptions(path: unknown, options: FileOptions): void {
  checkText('path', path);
  const { include, exclude, threads, onProgress, signal } = options;
  checkGlobs('include', include);
  checkGlobs('exclude', exclude);
  if (threads !== undefined) checkNumber('threads', threads, { least: 0, most: 1024, whole: true });
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw invalidOption('onProgress', 'a function', onProgress);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalidOption('signal', 'an AbortSignal', signal);
}

/** Refuses what is not the path of a file. */
export function checkText(option: string, value: unknown): void {
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return;
  throw invalidOption(option, 'the path of a file', value);
}

/** Refuses all but some words. */
export function checkWord(option: string, value: unknown, words: readonly string[]): void {
  if (typeof value === 'string' && words.includes(value)) return;
  throw invalidOption(option, words.map((word) => JSON.stringify(word)).join(' or '), value);
}

export function checkFlag(option: string, value: unknown): void {
  if (typeof value !== 'boolean') throw invalidOption(option, 'true or false', value);
}

/** Refuses what is not an object of options. */
export function checkObject(options: unknown): void {
  if (typeof options !== 'object' || options === null) throw invalidOption('options', 'an object', options);
}

function checkGlobs(option: string, value: unknown): void {
  if (value === undefined) return;
  if (Array.isArray(value) && value.every((glob) => typeof glob === 'string' && glob !== '')) return;
  throw invalidOption(option, 'an array of non-empty strings', value);
}

/** The addon's way to tell progress. */
export function nativeProgress(onProgress: FileOptions['onProgress']): NativeProgress | undefined {
  return onProgress && ((phase, done, total) => onProgress({ phase, done, total }));
}
