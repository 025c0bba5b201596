// The folder that makes a sweep resumable: a small JSON file for each finished point, with the settings that it was made
// with, and beside it the checkpoint of a point under way. Knows nothing of how points are made.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SecateurError } from '../errors.js';
import { ioError } from '../io-error.js';
import { readModel } from '../onnx/load.js';
import { dataFilesOf } from '../onnx/save.js';
import { writeAtomically } from '../onnx/write.js';

/** All that a point's numbers depend on, by name; values are JSON. */
export type SweepSettings = Readonly<Record<string, unknown>>;

interface Kept<Result> {
  readonly settings: SweepSettings;
  readonly result: Result;
}

export class SweepFolder {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** @throws SecateurError IO */
  static async open(path: string): Promise<SweepFolder> {
    try {
      await mkdir(path, { recursive: true });
    } catch (error) {
      throw ioError('create', path, error);
    }
    return new SweepFolder(path);
  }

  /**
   * A finished point; undefined where there is none.
   *
   * @throws SecateurError INVALID_OPTION where it was made with other settings; INVALID_DATA where it is damaged.
   */
  async find<Result>(key: string, settings: SweepSettings): Promise<Result | undefined> {
    const path = this.#file(key);
    if (!existsSync(path)) return undefined;
    const kept = parse<Result>(path, await readFile(path, 'utf8'));
    const differing = differences(kept.settings, settings);
    if (differing.length === 0) return kept.result;
    throw new SecateurError(
      'INVALID_OPTION',
      `Expected ${this.#path} to hold a sweep with the same options, but ${key} was made with other ones: ` +
        `${differing.join('; ')}; give those, or another folder`,
      { path },
    );
  }

  async keep<Result>(key: string, settings: SweepSettings, result: Result): Promise<void> {
    const kept: Kept<Result> = { settings, result };
    await writeAtomically(this.#file(key), [Buffer.from(`${JSON.stringify(kept, null, 2)}\n`)]);
    for (const file of [this.checkpoint(key), `${this.checkpoint(key)}.data`]) await rm(file, { force: true });
  }

  /** Where a point under way keeps its training. */
  checkpoint(key: string): string {
    return join(this.#path, `${key}.checkpoint`);
  }

  /** Where a pruned model is written. */
  model(key: string): string {
    return join(this.#path, `${key}.onnx`);
  }

  #file(key: string): string {
    return join(this.#path, `${key}.json`);
  }
}

function parse<Result>(path: string, text: string): Kept<Result> {
  try {
    const kept = JSON.parse(text) as Partial<Kept<Result>>;
    if (kept.settings !== undefined && kept.result !== undefined) return kept as Kept<Result>;
  } catch {
    // The same sentence as for JSON of something else.
  }
  throw new SecateurError('INVALID_DATA', `Expected ${path} to be a point of a sweep, got something else; remove it`, {
    path,
  });
}

/** Every setting that differs, with both values. */
function differences(kept: SweepSettings, asked: SweepSettings): string[] {
  const names = new Set([...Object.keys(kept), ...Object.keys(asked)]);
  return [...names].flatMap((name) => {
    const [before, now] = [textOf(kept[name]), textOf(asked[name])];
    return before === now ? [] : [`${name} ${before ?? 'not given'}, not ${now ?? 'left out'}`];
  });
}

/** Null is as good as left out, so that folders outlive new options. */
function textOf(setting: unknown): string | undefined {
  return JSON.stringify(setting, (_, value) => value ?? undefined);
}

/** SHA-256 of a model with its data files, which tells models apart. */
export async function hashModel(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for (const file of [path, ...dataFilesOf(readModel(path)).keys()]) {
      for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
    }
  } catch (error) {
    throw ioError('read', path, error);
  }
  return hash.digest('hex');
}
