// How large a model is in each form that it could have, without writing any of them.
import { promisify } from 'node:util';
import { deflateRaw } from 'node:zlib';
import { throwIfAborted } from '../errors.js';
import { FileSource } from '../onnx/file-source.js';
import { checkKeys } from '../options.js';
import { checkFileOptions, checkObject, type FileOptions } from '../prune/options.js';
import { choose, saved } from './choose.js';
import { opsetProblem } from './opset.js';
import { prepare, type Work } from './prepare.js';
import { savedSparse } from './sparse.js';

/** Bytes of a model and its external data. */
export interface ModelSizes {
  /** As it is. */
  file: number;
  /** Deflated at level 6, as zip and gzip do; above 32 MB estimated from pieces. Null where not asked for. */
  zipped: number | null;
  /** With `pack`, about: the values `f32`. `packed` is null below opset 13, which cannot unpack itself. */
  sparse: number;
  packed: number | null;
}

export interface SizeOptions extends Pick<FileOptions, 'threads' | 'signal' | 'onProgress'> {
  /** Also deflate it, which takes up to a second or so. @default true */
  zip?: boolean | undefined;
}

const deflate = promisify(deflateRaw);
const ZIP_LEVEL = 6;
const PIECE_BYTES = 2 ** 20;
const MOST_PIECES = 32;

/**
 * The sizes that a model has or would have.
 *
 * @throws SecateurError See `SecateurErrorCode`.
 * @example
 * const { file, packed } = await modelSizes('pruned.onnx');
 */
export async function modelSizes(path: string, options: SizeOptions = {}): Promise<ModelSizes> {
  checkObject(options);
  checkKeys('option', Object.keys(options), ['threads', 'signal', 'onProgress', 'zip']);
  const { zip = true, ...work } = options;
  checkFileOptions(path, work);
  const prepared = await prepare(path, work);
  const { bytes: file, measured, loaded } = prepared;
  return {
    file,
    zipped: zip ? await zippedBytes(prepared, options.signal) : null,
    sparse: file - savedSparse(measured),
    packed: opsetProblem(loaded) === undefined ? file - saved(choose(measured, 'f32')) : null,
  };
}

/** Of all files together: pieces at even distances stand for the rest. */
async function zippedBytes({ survey: { sources }, bytes }: Work, signal: AbortSignal | undefined): Promise<number> {
  const pieces = Math.min(MOST_PIECES, Math.ceil(bytes / PIECE_BYTES));
  let read = 0;
  let zipped = 0;
  for (const { path, size } of sources) {
    const share = Math.max(1, Math.round((pieces * size) / Math.max(bytes, 1)));
    const source = new FileSource(path);
    try {
      for (let piece = 0; piece < share; piece++) {
        throwIfAborted(signal);
        const [from, to] = pieceAt(size, piece, share);
        const buffer = new Uint8Array(to - from);
        source.readInto(buffer, from);
        read += buffer.byteLength;
        zipped += (await deflate(buffer, { level: ZIP_LEVEL })).byteLength;
      }
    } finally {
      source.close();
    }
  }
  return read === 0 ? 0 : Math.round((zipped * bytes) / read);
}

/** A piece of a file: a part of it where parts are small, else its middle MB. */
function pieceAt(size: number, piece: number, pieces: number): [from: number, to: number] {
  const from = Math.floor((size * piece) / pieces);
  const to = Math.floor((size * (piece + 1)) / pieces);
  if (to - from <= 2 * PIECE_BYTES) return [from, to];
  const middle = Math.floor((from + to - PIECE_BYTES) / 2);
  return [middle, middle + PIECE_BYTES];
}
