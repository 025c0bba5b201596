// The model that `bench prune` measures: a chain of MatMul weights of normal deviates in one external data file. It is
// streamed to disk in chunks, so the benchmark needs little memory whatever the model's size.
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import type { NativeAddon } from '../../native/contract.js';
import { GraphBuilder } from '../../onnx/build/graph-builder.js';
import { modelOf } from '../../onnx/build/model.js';
import {
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  ModelProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from '../../onnx/schema/onnx_pb.js';

const MODEL = 'model.onnx';
const DATA = 'model.onnx.data';
const LARGEST_SIDE = 4096;
const CHUNK_WEIGHTS = 2 ** 22;

export interface ModelSize {
  /** Of the weights; rounded down to whole rows. */
  bytes: number;
  signal: AbortSignal;
  progress: (phase: string, done: number, total: number, unit: 'bytes' | 'steps') => void;
}

/** Writes the model into a folder and returns its files' names, the ONNX file first. */
export async function writeBenchmarkModel(addon: NativeAddon, folder: string, size: ModelSize): Promise<string[]> {
  const shapes = tensorShapes(Math.floor(size.bytes / 4));
  const weights = shapes.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  await writeFile(path.join(folder, MODEL), describe(shapes));
  await writeWeights(addon, path.join(folder, DATA), weights, size);
  return [MODEL, DATA];
}

type Shape = readonly [rows: number, columns: number];

/** Square matrices and a narrower last one; at least eight, so that a small model has several tensors too. */
function tensorShapes(weights: number): Shape[] {
  let side = LARGEST_SIDE;
  while (side > 16 && weights < 8 * side * side) side /= 2;
  const squares = Math.floor(weights / (side * side));
  const restColumns = Math.floor((weights - squares * side * side) / side);
  return [
    ...Array.from({ length: squares }, () => [side, side] as const),
    ...(restColumns > 0 ? [[side, restColumns] as const] : []),
  ];
}

function describe(shapes: readonly Shape[]): Uint8Array {
  const graph = GraphBuilder.create('bench');
  let value = graph.input('x', 'float32', [1, shapes[0]?.[0] ?? 0]);
  let offset = 0;
  shapes.forEach(([rows, columns], index) => {
    const weight = externalTensor(`layer${index}.weight`, [rows, columns], offset);
    graph.graph.initializer.push(weight);
    value = graph.op('MatMul', [value, weight.name], {}, { name: `layer${index}` });
    offset += 4 * rows * columns;
  });
  graph.output(value, 'float32', [1, shapes.at(-1)?.[1] ?? 0]);
  return toBinary(ModelProtoSchema, modelOf(graph.graph, { opset: 17 }));
}

function externalTensor(name: string, shape: Shape, offset: number): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dims: shape.map(BigInt),
    dataType: DataType.FLOAT,
    dataLocation: DataLocation.EXTERNAL,
    externalData: [
      { key: 'location', value: DATA },
      { key: 'offset', value: String(offset) },
      { key: 'length', value: String(4 * shape[0] * shape[1]) },
    ],
  });
}

async function writeWeights(addon: NativeAddon, target: string, weights: number, size: ModelSize): Promise<void> {
  const chunk = new Float32Array(Math.min(CHUNK_WEIGHTS, weights));
  const file = await open(target, 'w');
  try {
    for (let done = 0, stream = 0; done < weights; done += chunk.length, stream += 1) {
      size.signal.throwIfAborted();
      size.progress('making the model', 4 * done, 4 * weights, 'bytes');
      addon.fillNormal(chunk, { seed: 1, stream, std: 0.02 });
      const length = Math.min(chunk.length, weights - done);
      await file.writeFile(new Uint8Array(chunk.buffer, 0, 4 * length));
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
