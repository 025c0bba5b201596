// ONNX's own sparse initializers: the values of a tensor and their linear indices, ascending. Indices are written as
// varints, since raw ones take eight bytes each. Runtimes make them dense when they load the model.
import { create } from '@bufbuild/protobuf';
import { callNative } from '../native/addon.js';
import type { NativePackedStream } from '../native/packing-contract.js';
import {
  TensorProto_DataType as DataType,
  type SparseTensorProto,
  SparseTensorProtoSchema,
  TensorProtoSchema,
} from '../onnx/schema/onnx_pb.js';
import { encodeVarint, WireType } from '../onnx/wire.js';
import { nativeProgress } from '../prune/options.js';
import { type Measured, packedBytes } from './choose.js';
import type { UnpackOptions } from './options.js';
import type { Work } from './prepare.js';
import type { Outcome } from './report.js';
import { type PackTensor, takeOut } from './survey.js';

/** The IR version that brought sparse initializers (ONNX 1.6). */
const SPARSE_IR_VERSION = 6n;

/** Bytes of a sparse tensor besides indices and values, about. */
const SPARSE_BYTES = 40;
const INT64_DATA_FIELD = 7;

/** Whether a tensor is smaller as a sparse initializer. */
function isSmallerSparse(one: Measured): boolean {
  return packedBytes(one, 'indices', 'same') + SPARSE_BYTES < one.tensor.bytes;
}

/** Bytes that sparse initializers take off the file, about. */
export function savedSparse(measured: readonly Measured[]): number {
  return measured
    .filter(isSmallerSparse)
    .reduce((sum, one) => sum + one.tensor.bytes - packedBytes(one, 'indices', 'same') - SPARSE_BYTES, 0);
}

/** Makes sparse initializers of the tensors that are smaller so. */
export async function packSparse(
  { loaded: { model }, measured, survey: { sources } }: Work,
  { threads = 0, signal, onProgress }: UnpackOptions,
): Promise<Map<PackTensor, Outcome>> {
  const outcomes = new Map<PackTensor, Outcome>();
  const into = { positions: 'indices', form: 'same', codebook: new Float32Array(0) } as const;
  const progress = nativeProgress(onProgress);
  for (const one of measured.filter(isSmallerSparse)) {
    const { tensor } = one;
    const job = { sources, tensors: [tensor.native] };
    const stream = await callNative((native, control) => native.encodePacked(job, into, threads, control), {
      signal,
      progress,
    });
    tensor.graph.sparseInitializer.push(sparseTensor(one, stream));
    const bytes = stream.positions.byteLength + stream.values.byteLength;
    outcomes.set(tensor, { encoding: 'sparse', values: 'same', bytes, error: { largest: 0, sum: 0 } });
  }
  takeOut(model, outcomes.keys());
  if (outcomes.size > 0 && model.irVersion < SPARSE_IR_VERSION) model.irVersion = SPARSE_IR_VERSION;
  return outcomes;
}

/** A tensor as a sparse one under its name. */
function sparseTensor({ tensor }: Measured, stream: NativePackedStream): SparseTensorProto {
  const nnz = [BigInt(stream.nonzeros)];
  const values = { name: tensor.value, dims: nnz, dataType: tensor.tensor.dataType, rawData: stream.values };
  const indices = create(TensorProtoSchema, { dims: nnz, dataType: DataType.INT64 });
  // Millions of indices as one field, instead of a bigint each.
  const length = encodeVarint(stream.positions.byteLength);
  const data = new Uint8Array(length.byteLength + stream.positions.byteLength);
  data.set(length);
  data.set(stream.positions, length.byteLength);
  if (stream.nonzeros > 0) indices.$unknown = [{ no: INT64_DATA_FIELD, wireType: WireType.bytes, data }];
  return create(SparseTensorProtoSchema, { dims: tensor.shape.map(BigInt), values, indices });
}
