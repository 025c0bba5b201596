// Files that appear together or not at all. They are written under their final names into a hidden folder beside the
// output, so that a runtime can try them there, and renamed when they are good.
import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ioError } from './file-source.js';

/** A folder for the outputs of one call. `commit` or `discard` it. */
export class Staging {
  readonly #output: string;
  readonly #folder: string;
  /** Names in the order of renaming. */
  readonly #names: string[] = [];

  private constructor(output: string) {
    this.#output = output;
    this.#folder = join(dirname(output), `.${basename(output)}.secateur-${randomBytes(4).toString('hex')}`);
  }

  /** @throws SecateurError IO where the output's folder cannot be written. */
  static async beside(output: string): Promise<Staging> {
    const staging = new Staging(output);
    try {
      await mkdir(staging.#folder);
    } catch (error) {
      throw ioError('write', output, error);
    }
    return staging;
  }

  /** Where to write a file that will lie beside the output under this name. Renamed in the order of these calls. */
  add(name: string): string {
    this.#names.push(name);
    return join(this.#folder, name);
  }

  /** Renames the files to their places, replacing what is there. */
  async commit(): Promise<void> {
    try {
      for (const name of this.#names) await rename(join(this.#folder, name), join(dirname(this.#output), name));
      await rm(this.#folder, { recursive: true });
    } catch (error) {
      throw ioError('write', this.#output, error);
    }
  }

  async discard(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true }).catch(() => undefined);
  }
}
