// Several files that belong together, all of them or none: they are written to a folder beside, which then takes the
// place of the missing folder, or whose files are moved into the one that is there.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ioError } from '../../io-error.js';
import { artifactPaths } from './paths.js';

/**
 * Calls `write` with paths in a temporary folder, then moves the files.
 *
 * @throws SecateurError IO, with nothing changed, but for a failure among the last renames.
 */
export async function writeTogether(
  folder: string,
  prefix: string,
  write: (paths: ReturnType<typeof artifactPaths>) => Promise<void>,
): Promise<void> {
  const target = resolve(folder);
  const temporary = join(dirname(target), `.${basename(target)}.secateur-${randomBytes(4).toString('hex')}`);
  try {
    await mkdir(temporary, { recursive: true });
    await write(artifactPaths(temporary, prefix));
    if (existsSync(target)) {
      for (const name of await readdir(temporary)) await rename(join(temporary, name), join(target, name));
    } else {
      await rename(temporary, target);
    }
  } catch (error) {
    throw ioError('write', folder, error);
  } finally {
    // What went wrong is told above.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
  }
}
