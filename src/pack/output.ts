// Writes a model whole or not at all, and only if ONNX Runtime loads it where that is installed. Everything is written
// into a folder beside the output under its final name, so that external data is found when the model is tried.
import { mkdtempSync } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { ioError } from '../io-error.js';
import { chooseDataName, refuseDataFile } from '../onnx/data-file.js';
import {
  type ModelProto,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
} from '../onnx/schema/onnx_pb.js';
import { writeModel } from '../onnx/write.js';
import { verifyLoads } from './verify.js';

/** What was written. */
export interface Written {
  /** Of the model and its data file. */
  bytes: number;
  /** That loading took, or null where onnxruntime-node is not installed and so nothing was tried. */
  loadSeconds: number | null;
}

/** Protobuf readers take less than 2 GB; some of it is left for the graph. */
export const INLINE_BYTES = 2 ** 31 - 2 ** 26;

/** Offsets are multiples of it, so that a runtime can map the file. */
const ALIGNMENT = 4096;
/** Smaller payloads stay in the model. */
const EXTERNAL_ABOVE = 4096;

/** A model in the making. `close` it, whatever happened. */
export class Output {
  readonly #path: string;
  readonly #folder: string;
  readonly #dataName: string;
  readonly #external: boolean;
  #data: FileHandle | undefined;
  #position = 0;

  /**
   * @param external whether payloads go to a data file of their own, because the model would be 2 GB or larger.
   * @param sources the model and its data files: they are still read, so that the data file must not replace them.
   * @throws SecateurError INVALID_OPTION where the output is one of the data files; IO.
   */
  constructor(path: string, { external, sources }: { external: boolean; sources: readonly { path: string }[] }) {
    this.#path = path;
    this.#external = external;
    const read = sources.map((source) => source.path);
    refuseDataFile(path, read.slice(1));
    this.#dataName = chooseDataName(path, read);
    try {
      this.#folder = mkdtempSync(join(dirname(path), `.${basename(path)}.secateur-`));
    } catch (error) {
      throw ioError('create a folder beside', path, error);
    }
  }

  /** Takes the payload of a tensor of the model: into the tensor, or into the data file. */
  async put(tensor: TensorProto, bytes: Uint8Array): Promise<void> {
    tensor.externalData = [];
    tensor.dataLocation = TensorProto_DataLocation.DEFAULT;
    if (!this.#external || bytes.byteLength <= EXTERNAL_ABOVE) {
      tensor.rawData = bytes;
      return;
    }
    const offset = Math.ceil(this.#position / ALIGNMENT) * ALIGNMENT;
    await this.#append(bytes, offset);
    tensor.rawData = new Uint8Array(0);
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
    const entries = { location: this.#dataName, offset: String(offset), length: String(bytes.byteLength) };
    tensor.externalData = Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    );
  }

  /**
   * Writes the model, tries it, and gives the files their names.
   *
   * @throws SecateurError RUNTIME where the runtime refuses the model; IO.
   */
  async commit(model: ModelProto): Promise<Written> {
    const written = join(this.#folder, basename(this.#path));
    await this.#data?.close();
    await writeModel(written, model);
    const loadSeconds = await verifyLoads(written);
    try {
      const bytes = (await stat(written)).size + this.#position;
      // Data first: while the model is still the old one, its data must not have gone.
      if (this.#data !== undefined) {
        await rename(join(this.#folder, this.#dataName), join(dirname(this.#path), this.#dataName));
      }
      await rename(written, this.#path);
      return { bytes, loadSeconds };
    } catch (error) {
      throw ioError('write', this.#path, error);
    }
  }

  async close(): Promise<void> {
    await this.#data?.close().catch(() => undefined);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #append(bytes: Uint8Array, offset: number): Promise<void> {
    try {
      this.#data ??= await open(join(this.#folder, this.#dataName), 'wx');
      for (let done = 0; done < bytes.byteLength; ) {
        const { bytesWritten } = await this.#data.write(bytes, done, bytes.byteLength - done, offset + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw ioError('write', this.#path, error);
    }
    this.#position = offset + bytes.byteLength;
  }
}
