// External data: which file and which bytes of it a tensor names. A model is untrusted input: whatever it says, only
// regular files inside the model's own folder are read.
//
// The folder is that of the path that was given, also where that path is a symbolic link to the model: data lies
// beside the name that a user knows. A link to data is followed only where it ends inside the folder. So the links of
// download caches, which lead out of it, are refused with advice.

import { realpathSync, statSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';
import { SecateurError } from '../errors.js';
import { ioError } from './file-source.js';
import { type TensorProto, TensorProto_DataLocation } from './schema/onnx_pb.js';

/** Bytes of a data file. */
export interface ExternalRange {
  /** The real, absolute path. */
  path: string;
  /** Of the whole file. */
  fileBytes: number;
  /** As the model has it. */
  location: string;
  offset: number;
  bytes: number;
}

interface DataFile {
  path: string;
  fileBytes: number;
}

/** Whether a tensor's payload is in another file. */
export function isExternal(tensor: TensorProto): boolean {
  return tensor.dataLocation === TensorProto_DataLocation.EXTERNAL;
}

/** The data files of one model. */
export class ExternalFiles {
  readonly #folder: string;
  readonly #modelPath: string;
  readonly #realModel: string;
  readonly #files = new Map<string, DataFile>();

  constructor(modelPath: string) {
    this.#modelPath = modelPath;
    try {
      this.#folder = realpathSync(dirname(resolve(modelPath)));
      this.#realModel = realpathSync(modelPath);
    } catch (error) {
      throw ioError('open', modelPath, error);
    }
  }

  /**
   * Where the payload of an external tensor lies.
   *
   * @param name Names the tensor in errors.
   * @param bytes How many bytes the tensor's shape and type need.
   * @throws SecateurError EXTERNAL_DATA where the entries are unsound, the file is missing or outside the model's
   *   folder, or the bytes are not all in it.
   */
  resolve(tensor: TensorProto, name: string, bytes: number): ExternalRange {
    const entries = this.#entries(tensor, name);
    const location = entries.get('location') ?? '';
    const offset = this.#number(entries.get('offset') ?? '0', 'offset', name);
    const length = this.#number(entries.get('length') ?? String(bytes), 'length', name);
    if (length !== bytes) {
      throw this.#error(name, `have ${bytes} bytes of external data for its shape and type, got length ${length}`);
    }
    const file = this.#file(location, name);
    if (offset + bytes > file.fileBytes) {
      const got = `a file of ${file.fileBytes} bytes`;
      throw this.#error(name, `find bytes ${offset} to ${offset + bytes} in ${JSON.stringify(location)}, got ${got}`);
    }
    return { ...file, location, offset, bytes };
  }

  #entries(tensor: TensorProto, name: string): Map<string, string> {
    const entries = new Map<string, string>();
    for (const { key, value } of tensor.externalData) {
      if (entries.has(key)) throw this.#error(name, `have one ${JSON.stringify(key)} for its external data, got two`);
      entries.set(key, value);
    }
    return entries;
  }

  #number(text: string, key: string, name: string): number {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value)) return value;
    throw this.#error(name, `have a number of bytes as the ${key} of its external data, got ${JSON.stringify(text)}`);
  }

  #file(location: string, name: string): DataFile {
    const known = this.#files.get(location);
    if (known !== undefined) return known;
    const file = this.#open(location, name);
    this.#files.set(location, file);
    return file;
  }

  #open(location: string, name: string): DataFile {
    const shown = JSON.stringify(location);
    if (location === '' || location.includes('\0'))
      throw this.#error(name, `name a file with external data, got ${shown}`);
    if (/^([/\\]|[A-Za-z]:)/.test(location) || location.split(/[/\\]/).includes('..')) {
      throw this.#error(name, `keep its external data in the model's folder, got ${shown}`);
    }
    const path = this.#realPath(resolve(this.#folder, location), name, shown);
    const prefix = this.#folder.endsWith(sep) ? this.#folder : this.#folder + sep;
    if (!path.startsWith(prefix)) {
      const advice = 'copy the model and its data into one folder with `cp -L` first';
      throw this.#error(
        name,
        `keep its external data in the model's folder, got ${shown}, a symbolic link to ${path}: ${advice}`,
      );
    }
    if (path === this.#realModel)
      throw this.#error(name, `keep its external data outside the model file, got ${shown}`);
    const stats = statSync(path);
    if (!stats.isFile()) throw this.#error(name, `name a regular file with external data, got ${shown}`);
    return { path, fileBytes: stats.size };
  }

  #realPath(path: string, name: string, shown: string): string {
    try {
      return realpathSync(path);
    } catch (error) {
      throw this.#error(
        name,
        `find its external data in ${shown} beside the model, got no such file`,
        ioError('open', path, error),
      );
    }
  }

  /** The sentence's grammar: Expected tensor T of M to <expectation, got what>. */
  #error(tensor: string, expectation: string, cause?: unknown): SecateurError {
    return new SecateurError('EXTERNAL_DATA', `Expected tensor ${tensor} of ${this.#modelPath} to ${expectation}`, {
      path: this.#modelPath,
      tensor,
      cause,
    });
  }
}
