// The output files of a pruned model. Without external data: the model's bytes as they are. With: one data file beside
// the output, and in the model new `location` and, where several data files become one, new `offset` entries.

import { basename, dirname, join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { SecateurError } from '../errors.js';
import type { NativeOutput, NativePruneJob } from '../native/contract.js';
import { chooseDataName, realPath, refuseDataFile } from '../onnx/data-file.js';
import { applyEdits, type Edit } from '../onnx/edit.js';
import type { ExternalRange } from '../onnx/external.js';
import type { LoadedModel } from '../onnx/load.js';
import { StringStringEntryProtoSchema, type TensorProto } from '../onnx/schema/onnx_pb.js';
import { encodeBytesField } from '../onnx/wire.js';

type Sources = NativePruneJob['sources'];

/** What a data file's parts begin at multiples of, so that they can be mapped into memory. */
const ALIGNMENT = 4096;
const EXTERNAL_DATA_FIELD = 13;

/**
 * The outputs, data first: while the model is still the old one, its data must not have gone.
 *
 * @param sources The model, then its data files.
 * @throws SecateurError INVALID_OPTION where `output` is one of the data files.
 */
export function layOut(
  {
    model,
    loaded,
    externals,
    sources,
  }: {
    model: string;
    loaded: LoadedModel;
    externals: ReadonlyMap<TensorProto, ExternalRange>;
    sources: Sources;
  },
  output: string,
): NativeOutput[] {
  const dataSources = sources.slice(1);
  refuseDataFile(output, pathsOf(dataSources));
  if (dataSources.length === 0) {
    return [{ path: output, pieces: [{ source: 0, offset: 0, bytes: loaded.size }] }];
  }
  const dataPath = chooseDataPath(output, model, sources);
  const { pieces, starts } = concatenate(dataSources);
  const edits = [...externals].flatMap(([tensor, range]) =>
    relocate(loaded, tensor, basename(dataPath), range.offset + (starts.get(range.path) ?? 0)),
  );
  const modelPieces = applyEdits(loaded.size, edits).map((piece) =>
    'literal' in piece ? piece : { source: 0, ...piece },
  );
  return [
    { path: dataPath, pieces },
    { path: output, pieces: modelPieces },
  ];
}

function concatenate(files: Sources): { pieces: NativeOutput['pieces']; starts: Map<string, number> } {
  const pieces: NativeOutput['pieces'] = [];
  const starts = new Map<string, number>();
  let position = 0;
  for (const [index, { path, size }] of files.entries()) {
    const padding = (ALIGNMENT - (position % ALIGNMENT)) % ALIGNMENT;
    if (padding > 0) pieces.push({ literal: new Uint8Array(padding) });
    position += padding;
    starts.set(path, position);
    if (size > 0) pieces.push({ source: index + 1, offset: 0, bytes: size });
    position += size;
  }
  return { pieces, starts };
}

/** The edits that make a tensor's entries name the new place. */
function relocate(loaded: LoadedModel, tensor: TensorProto, location: string, offset: number): Edit[] {
  const record = loaded.recordOf(tensor);
  if (record === undefined || record.externalEntries.length !== tensor.externalData.length) {
    throw new SecateurError('UNSUPPORTED', `Expected tensor ${tensor.name} to be stored in one piece, got several`, {
      tensor: tensor.name,
    });
  }
  const edits: Edit[] = [];
  const { message, externalEntries } = record;
  let hasOffset = false;
  for (const [index, { key, value }] of tensor.externalData.entries()) {
    const range = externalEntries[index]?.field;
    if (range === undefined) continue;
    hasOffset ||= key === 'offset';
    if (key === 'location' && value !== location) edits.push({ message, range, replacement: entry(key, location) });
    if (key === 'offset' && Number(value) !== offset)
      edits.push({ message, range, replacement: entry(key, String(offset)) });
    // It is the digest of a file that is no longer the same.
    if (key === 'checksum') edits.push({ message, range, replacement: new Uint8Array(0) });
  }
  if (!hasOffset && offset !== 0) {
    edits.push({ message, range: { offset: message.end, bytes: 0 }, replacement: entry('offset', String(offset)) });
  }
  return edits;
}

function entry(key: string, value: string): Uint8Array {
  const body = toBinary(StringStringEntryProtoSchema, create(StringStringEntryProtoSchema, { key, value }));
  return encodeBytesField(EXTERNAL_DATA_FIELD, body);
}

/**
 * Where the data goes. In-place pruning of a model with one data file may replace it: the layout is the same, so the
 * old model fits it.
 */
function chooseDataPath(output: string, model: string, sources: Sources): string {
  const wanted = `${output}.data`;
  const inPlace = realPath(output) === realPath(model) && sources.length === 2;
  if (inPlace && sources[1]?.path === realPath(wanted)) return wanted;
  return join(dirname(output), chooseDataName(output, pathsOf(sources)));
}

function pathsOf(sources: Sources): string[] {
  return sources.map(({ path }) => path);
}
