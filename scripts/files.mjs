// The repository's own files, for the checks: what git tracks or would track, so build outputs never count.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/**
 * @param {string[]} folders where to look, relative to the root
 * @param {RegExp} pattern which names to take
 * @returns {string[]} paths relative to the root, sorted
 */
export function listFiles(folders, pattern) {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z', '--', ...folders];
  const listed = execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 }).split('\0');
  const wanted = listed.filter((file) => pattern.test(file) && existsSync(path.join(root, file)));
  return [...new Set(wanted)].sort();
}
