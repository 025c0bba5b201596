// Writes a changed model whose large tensors are still in its files: one tensor at a time is in memory. Tensors that
// were in data files stay in one, `OUTPUT.data`; the others are inside the model.
import { basename } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { chooseDataName, refuseDataFile } from './data-file.js';
import { elementType, rawBytes } from './dtypes.js';
import { ExternalFiles, isExternal } from './external.js';
import { ioError } from './file-source.js';
import type { LoadedModel } from './load.js';
import { materialize, type PayloadFile } from './payload.js';
import { StringStringEntryProtoSchema, type TensorProto, TensorProto_DataType } from './schema/onnx_pb.js';
import { shapeOf } from './shape.js';
import type { Staging } from './staging.js';
import { tensorsOf } from './tensors.js';
import { type Chunk, type LazyBytes, serialise, writeNew } from './write.js';

/** Data files are mapped into memory by runtimes, a page at a time. */
const PAGE_BYTES = 4096;

export interface SaveOptions {
  /** Tensors that are not those of the file: where their bytes come from. */
  changed: ReadonlyMap<TensorProto, LazyBytes>;
  payloads: PayloadFile;
  /** The data files that are read, which must not be replaced: `dataFilesOf` before the model was changed. */
  dataFiles: ReadonlyMap<string, number>;
  staging: Staging;
  output: string;
  signal?: AbortSignal | undefined;
}

/**
 * Writes `loaded.model` into the staging folder. Its tensors with external data name the new data file afterwards.
 *
 * @returns the path of the staged model.
 * @throws SecateurError INVALID_OPTION where the output is one of the data files; as `serialise` and the reading of
 *   payloads.
 */
export async function saveModel(loaded: LoadedModel, options: SaveOptions): Promise<string> {
  const { staging, output, signal, dataFiles } = options;
  refuseDataFile(output, dataFiles.keys());
  const externals = [...tensorsOf(loaded.model)].filter(isExternal);
  try {
    if (externals.length > 0)
      await saveData(externals, chooseDataName(output, [loaded.path, ...dataFiles.keys()]), options);
    const staged = staging.add(basename(output));
    await writeNew(staged, serialise(output, loaded.model, lazyTensors(loaded, options)), signal);
    return staged;
  } catch (error) {
    throw ioError('write', output, error);
  }
}

/** Payloads that are neither in memory nor in the data file. */
function lazyTensors(loaded: LoadedModel, { changed, payloads }: SaveOptions): Map<TensorProto, LazyBytes> {
  const lazy = new Map<TensorProto, LazyBytes>();
  for (const tensor of tensorsOf(loaded.model)) {
    if (isExternal(tensor)) continue;
    const elided = [...(loaded.recordOf(tensor)?.payloads.values() ?? [])].some((payload) => payload.elided);
    const own = changed.get(tensor);
    if (own !== undefined) lazy.set(tensor, own);
    else if (elided && tensor.dataType === TensorProto_DataType.STRING) materialize(loaded, [tensor]);
    else if (elided) lazy.set(tensor, bytesInFile(tensor, payloads));
  }
  return lazy;
}

function bytesInFile(tensor: TensorProto, payloads: PayloadFile): LazyBytes {
  return { byteLength: bytesOf(tensor), read: () => payloads.read(tensor) };
}

async function saveData(
  externals: readonly TensorProto[],
  name: string,
  { changed, payloads, staging, signal }: SaveOptions,
): Promise<void> {
  const chunks: Chunk[] = [];
  const places: { tensor: TensorProto; offset: number; bytes: number }[] = [];
  let position = 0;
  for (const tensor of externals) {
    const payload = changed.get(tensor) ?? bytesInFile(tensor, payloads);
    const padding = (PAGE_BYTES - (position % PAGE_BYTES)) % PAGE_BYTES;
    chunks.push(new Uint8Array(padding), payload);
    places.push({ tensor, offset: position + padding, bytes: payload.byteLength });
    position += padding + payload.byteLength;
  }
  // Entries change when the old ones have been read.
  await writeNew(staging.add(name), chunks, signal);
  for (const { tensor, offset, bytes } of places) {
    const entries = { location: name, offset: String(offset), length: String(bytes) };
    tensor.externalData = Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    );
  }
}

/**
 * The data files of a model: real path and bytes.
 *
 * @throws SecateurError EXTERNAL_DATA where one is missing, outside the model's folder or too short.
 */
export function dataFilesOf({ model, path }: LoadedModel): Map<string, number> {
  const externals = [...tensorsOf(model)].filter(isExternal);
  if (externals.length === 0) return new Map();
  const files = new ExternalFiles(path);
  return new Map(
    externals.map((tensor) => {
      const range = files.resolve(tensor, tensor.name, bytesOf(tensor));
      return [range.path, range.fileBytes];
    }),
  );
}

function bytesOf(tensor: TensorProto): number {
  return rawBytes(shapeOf(tensor, tensor.name).elements, elementType(tensor.dataType).bits);
}
