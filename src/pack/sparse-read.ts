// Sparse initializers of any model, made dense. Their indices are linear or one for each dimension, ascending, and
// untrusted.
import { SecateurError } from '../errors.js';
import { elementType } from '../onnx/dtypes.js';
import type { LoadedModel } from '../onnx/load.js';
import { readTensor } from '../onnx/payload.js';
import {
  TensorProto_DataType as DataType,
  type GraphProto,
  type ModelProto,
  type SparseTensorProto,
  type TensorProto,
} from '../onnx/schema/onnx_pb.js';
import { shapeOf, type TensorShape } from '../onnx/shape.js';
import { allocate } from './allocate.js';
import { graphsOf } from './survey.js';

/** A sparse initializer and what it would be. */
export interface Sparse {
  graph: GraphProto;
  sparse: SparseTensorProto;
  values: TensorProto;
  shape: TensorShape;
  /** Bytes of an element. */
  width: number;
}

/** @throws SecateurError INVALID_MODEL for impossible shapes; UNSUPPORTED for strings and elements below a byte. */
export function sparsesOf(model: ModelProto): Sparse[] {
  return [...graphsOf(model.graph)].flatMap((graph) =>
    graph.sparseInitializer.map((sparse) => describe(graph, sparse)),
  );
}

function describe(graph: GraphProto, sparse: SparseTensorProto): Sparse {
  const { values, indices, dims } = sparse;
  if (values === undefined) throw unsound('a sparse tensor', 'have values, got none');
  if (values.dims.length !== 1) throw unsound(values.name, `have values in one dimension, got ${values.dims.length}`);
  if (indices !== undefined && indices.dataType !== DataType.INT64) throw unsound(values.name, 'have int64 indices');
  const { bits, name } = elementType(values.dataType);
  if (bits === 0 || bits % 8 !== 0) {
    const what = `Expected the elements of sparse tensor ${values.name} to be whole bytes, got ${name}`;
    throw new SecateurError('UNSUPPORTED', what, { tensor: values.name });
  }
  const shape = shapeOf({ ...values, dims }, values.name);
  return { graph, sparse, values, shape, width: bits / 8 };
}

/**
 * The elements, little-endian and row-major.
 *
 * @throws SecateurError INVALID_MODEL where indices are no ascending positions in the tensor, one for each value.
 */
export function denseOf(loaded: LoadedModel, { sparse, values, shape, width }: Sparse): Uint8Array {
  const dense = allocate(shape.elements * width, values.name);
  const stored = readTensor(loaded, values);
  const count = stored.byteLength / width;
  const indices = sparse.indices === undefined ? [] : linearIndices(readTensor(loaded, sparse.indices), sparse, shape);
  if (indices.length !== count) throw unsound(values.name, `have ${count} indices, got ${indices.length}`);
  let before = -1;
  for (const [number, index] of indices.entries()) {
    if (!(index > before && index < shape.elements)) {
      throw unsound(values.name, `have ascending indices below ${shape.elements}, got ${index} after ${before}`);
    }
    dense.set(stored.subarray(number * width, (number + 1) * width), index * width);
    before = index;
  }
  return dense;
}

/** One number for each value; NaN where a coordinate is outside. */
function linearIndices(
  bytes: Uint8Array,
  { indices }: SparseTensorProto,
  { dims }: TensorShape,
): ArrayLike<number> & number[] {
  const given = Array.from(new BigInt64Array(Uint8Array.from(bytes).buffer), Number);
  if (indices?.dims.length !== 2) return given;
  const rank = dims.length;
  if (Number(indices.dims[1]) !== rank) return [];
  return Array.from({ length: given.length / Math.max(rank, 1) }, (_, row) =>
    dims.reduce((index, size, axis) => {
      const at = given[row * rank + axis] ?? -1;
      return at >= 0 && at < size ? index * size + at : Number.NaN;
    }, 0),
  );
}

function unsound(tensor: string, expectation: string): SecateurError {
  return new SecateurError('INVALID_MODEL', `Expected sparse tensor ${tensor} to ${expectation}`, { tensor });
}
