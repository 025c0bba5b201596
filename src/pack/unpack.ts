// `unpack`: makes packed and sparse tensors dense again, and writes the model. What was packed with the values `f32`
// comes back bit for bit. The streams are checked before anything is believed.
import { create } from '@bufbuild/protobuf';
import { SecateurError, throwIfAborted } from '../errors.js';
import { callNative } from '../native/addon.js';
import { elementType } from '../onnx/dtypes.js';
import { type LoadedModel, readModel } from '../onnx/load.js';
import { readTensor } from '../onnx/payload.js';
import { TensorProto_DataType as DataType, type GraphProto, TensorProtoSchema } from '../onnx/schema/onnx_pb.js';
import { allocate } from './allocate.js';
import { checkUnpackOptions, type UnpackOptions } from './options.js';
import { INLINE_BYTES, Output } from './output.js';
import { findPacked, type Head, noteHeads, type ParsedStream } from './parse.js';
import { filesOf, moveRest } from './prepare.js';
import type { UnpackReport } from './report.js';
import { denseOf, type Sparse, sparsesOf } from './sparse-read.js';

/**
 * Writes the model at `path` with dense weights in place of what `pack` has packed and of sparse initializers. The
 * output appears only when it is complete and, where onnxruntime-node is installed, has been loaded there.
 *
 * @throws SecateurError INVALID_MODEL where it is damaged; UNSUPPORTED where nothing is packed; RUNTIME; IO.
 * @example
 * await unpack('small.onnx', { output: 'dense.onnx' });
 */
export async function unpack(path: string, options: UnpackOptions): Promise<UnpackReport> {
  checkUnpackOptions(path, options);
  return await unpackWithin(path, options, INLINE_BYTES);
}

/** `unpack`, with the size from which a model has a data file of its own. */
export async function unpackWithin(path: string, options: UnpackOptions, inlineBytes: number): Promise<UnpackReport> {
  const started = performance.now();
  const loaded = readModel(path);
  const heads = (findPacked(loaded.model) ?? []).filter(({ nodes }) => nodes > 0);
  const sparses = sparsesOf(loaded.model);
  if (heads.length + sparses.length === 0) throw nothingPacked(path);
  const sources = filesOf(loaded);
  const before = sources.reduce((sum, { size }) => sum + size, 0);
  const total = denseBytes(heads, sparses);
  const external = before + total > inlineBytes;
  const output = new Output(options.output, { external, sources });
  try {
    const tensors: string[] = [];
    let done = 0;
    const step = (bytes: number): void => {
      throwIfAborted(options.signal);
      done += bytes;
      options.onProgress?.({ phase: 'write', done, total });
    };
    for (const head of heads) tensors.push(...(await unpackHead(loaded, head, output, { ...options, step })));
    for (const sparse of sparses) {
      tensors.push(await makeDense(loaded, sparse, output));
      step(sparse.shape.elements * sparse.width);
    }
    noteHeads(loaded.model, new Map());
    await moveRest(loaded, output, options.signal);
    const { bytes, loadSeconds } = await output.commit(loaded.model);
    const seconds = (performance.now() - started) / 1000;
    return { model: path, output: options.output, tensors, bytes: { before, after: bytes }, loadSeconds, seconds };
  } finally {
    await output.close();
  }
}

function nothingPacked(path: string): SecateurError {
  const what = `Expected ${path} to have packed or sparse tensors, got none: there is nothing to unpack`;
  return new SecateurError('UNSUPPORTED', what, { path });
}

function denseBytes(heads: readonly Head[], sparses: readonly Sparse[]): number {
  const streams = heads.flatMap((head) => head.streams);
  const packed = streams.reduce((sum, stream) => sum + stream.length * widthOf(stream), 0);
  return packed + sparses.reduce((sum, { shape, width }) => sum + shape.elements * width, 0);
}

/** Returns the names of its tensors. */
async function unpackHead(
  loaded: LoadedModel,
  { graph, nodes, streams, initializers }: Head,
  output: Output,
  { step, ...options }: UnpackOptions & { step: (bytes: number) => void },
): Promise<string[]> {
  graph.node.splice(0, nodes);
  graph.initializer = graph.initializer.filter((tensor) => !initializers.has(tensor));
  const names: string[] = [];
  for (const stream of streams) {
    const width = widthOf(stream);
    const sequence = await decode(loaded, stream, options);
    for (const { value, shape, first, elements } of stream.parts) {
      const bytes = sequence.subarray(first * width, (first + elements) * width);
      await addTensor(graph, { name: value, shape, dataType: typeOf(stream), bytes }, output);
      names.push(value);
    }
    step(sequence.byteLength);
  }
  return names;
}

async function decode(
  loaded: LoadedModel,
  stream: ParsedStream,
  { threads = 0, signal }: UnpackOptions,
): Promise<Uint8Array> {
  const { positions, form, length, bytes, stored, codebook } = stream;
  const elementBytes = widthOf(stream);
  const out = allocate(length * elementBytes, stream.parts[0]?.value ?? '');
  if (positions === 'zeros' || stored === undefined) return out;
  const read = (tensor: typeof bytes) => (tensor === undefined ? new Uint8Array(0) : readTensor(loaded, tensor));
  const entries = new Float32Array(Uint8Array.from(read(codebook)).buffer);
  const view = {
    positions,
    form,
    elementBytes,
    positionBytes: read(bytes),
    valueBytes: read(stored),
    codebook: entries,
  };
  await callNative((native) => native.decodePacked(view, out, threads), { signal });
  return out;
}

async function makeDense(loaded: LoadedModel, sparse: Sparse, output: Output): Promise<string> {
  const { graph, values, shape } = sparse;
  const bytes = denseOf(loaded, sparse);
  graph.sparseInitializer = graph.sparseInitializer.filter((other) => other !== sparse.sparse);
  await addTensor(graph, { name: values.name, shape: shape.dims, dataType: values.dataType, bytes }, output);
  return values.name;
}

async function addTensor(
  graph: GraphProto,
  { name, shape, dataType, bytes }: { name: string; shape: readonly number[]; dataType: number; bytes: Uint8Array },
  output: Output,
): Promise<void> {
  const tensor = create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType });
  await output.put(tensor, bytes);
  graph.initializer.push(tensor);
}

/** The type of the elements that come out. */
function typeOf({ form, stored, node }: ParsedStream): number {
  if (form !== 'same') return DataType.FLOAT;
  if (stored !== undefined) return stored.dataType;
  return node?.attribute.find(({ name }) => name === 'value')?.t?.dataType ?? DataType.FLOAT;
}

function widthOf(stream: ParsedStream): number {
  return elementType(typeOf(stream)).bits / 8;
}
