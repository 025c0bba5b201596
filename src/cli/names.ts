// Names of classes from a text file, one a line, as Darknet's `coco.names`.
import { readFile } from 'node:fs/promises';
import { SecateurError } from '../errors.js';
import { ioError } from '../io-error.js';

/**
 * @param classes how many there must be; any number where undefined.
 * @throws SecateurError IO; INVALID_DATA where there are more or fewer.
 */
export async function readNames(path: string, classes?: number): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw ioError('read', path, error);
  });
  const names = text.replace(/\r?\n$/, '').split(/\r?\n/);
  if (classes === undefined || names.length === classes) return names;
  const expected = `Expected ${path} to have ${classes} lines, one a class`;
  throw new SecateurError('INVALID_DATA', `${expected}, got ${names.length}`, { path });
}
