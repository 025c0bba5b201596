// What the tests of packing share: pruned models with random weights, and running files in both runtimes.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { create, fromBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type * as OrtWeb from 'onnxruntime-web';
import { type ModelName, type NewModelOptions, newModel } from '../../models/index.js';
import { addon } from '../../src/native/addon.js';
import { type LoadedModel, readModel } from '../../src/onnx/load.js';
import { readTensor } from '../../src/onnx/payload.js';
import {
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../../src/onnx/schema/onnx_pb.js';
import { writeModel } from '../../src/onnx/write.js';

/** How many weights LeNet-5 keeps in each layer when 98.8% are removed well. */
export const LENET_KEEPS = {
  'conv1.weight': 386,
  'conv2.weight': 1337,
  'fc1.weight': 2847,
  'fc2.weight': 596,
} as const;

/** Zeroes all but the `keep` largest of an initializer. */
export function keepLargest({ rawData }: TensorProto, keep: number): void {
  const values = new Float32Array(rawData.buffer, rawData.byteOffset, rawData.byteLength / 4);
  const order = [...values.keys()].sort((a, b) => Math.abs(values[b] ?? 0) - Math.abs(values[a] ?? 0));
  for (const index of order.slice(keep)) values[index] = 0;
}

/** LeNet-5 with 5,166 of 430,500 weights, written to a folder. */
export async function prunedLeNet(folder: string): Promise<string> {
  const model = newModel('lenet5', {}, addon().fillNormal);
  for (const tensor of model.graph?.initializer ?? []) {
    const keep = LENET_KEEPS[tensor.name as keyof typeof LENET_KEEPS];
    if (keep !== undefined) keepLargest(tensor, keep);
    else addon().fillNormal(floats(tensor), { seed: 7, stream: tensor.rawData.byteLength, std: 0.05 });
  }
  const path = join(folder, 'lenet5.onnx');
  await writeModel(path, model);
  return path;
}

export async function newModelAt(folder: string, name: ModelName, options: NewModelOptions): Promise<string> {
  const path = join(folder, `${name}.onnx`);
  await writeModel(path, newModel(name, options, addon().fillNormal));
  return path;
}

export function floats({ rawData }: TensorProto): Float32Array {
  return new Float32Array(rawData.buffer, rawData.byteOffset, rawData.byteLength / 4);
}

/** The bytes of every initializer by name, with type and shape. */
export function tensorsAt(path: string): Map<string, string> {
  const loaded: LoadedModel = readModel(path);
  return new Map(
    (loaded.model.graph?.initializer ?? []).map((tensor) => {
      const hex = Buffer.from(readTensor(loaded, tensor)).toString('base64');
      return [tensor.name, `${tensor.dataType} [${tensor.dims.join()}] ${hex}`];
    }),
  );
}

const noise = (dims: readonly number[]) => {
  const data = new Float32Array(dims.reduce((product, dim) => product * dim, 1));
  return data.map((_, index) => ((index * 7919) % 251) / 251);
};

/** The outputs of a model for one fixed input, in onnxruntime-node. */
export async function outputsOf(path: string, dims: readonly number[]): Promise<Record<string, Float32Array>> {
  const session = await InferenceSession.create(path, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const name = session.inputNames[0] ?? '';
  const results = await session.run({ [name]: new Tensor('float32', noise(dims), dims) });
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([key, { data }]) => [key, Float32Array.from(data as Float32Array)]),
  );
}

/** The same in onnxruntime-web (WebAssembly). */
export async function outputsInWeb(path: string, dims: readonly number[]): Promise<Record<string, Float32Array>> {
  const web: typeof OrtWeb = createRequire(import.meta.url)('onnxruntime-web');
  web.env.wasm.numThreads = 1;
  const session = await web.InferenceSession.create(readFileSync(path));
  const name = session.inputNames[0] ?? '';
  const results = await session.run({ [name]: new web.Tensor('float32', noise(dims), dims) });
  return Object.fromEntries(
    Object.entries(results).map(([key, { data }]) => [key, Float32Array.from(data as Float32Array)]),
  );
}

/** The graph that onnxruntime-node runs, after its optimisations that fit any machine. */
export async function optimised(path: string): Promise<ModelProto> {
  const target = `${path}.optimised`;
  const options = { graphOptimizationLevel: 'extended', optimizedModelFilePath: target, logSeverityLevel: 3 } as const;
  await (await InferenceSession.create(path, options)).release();
  return fromBinary(ModelProtoSchema, readFileSync(target));
}

/** How often each operator is in a graph. */
export function histogram({ graph }: ModelProto): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { opType } of graph?.node ?? []) counts[opType] = (counts[opType] ?? 0) + 1;
  return counts;
}

/** A float32 or other tensor of raw bytes. */
export function rawTensor(name: string, dims: readonly number[], data: NodeJS.TypedArray, dataType = 1): TensorProto {
  const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType, rawData });
}

export function info(name: string, dims: readonly number[], elemType = 1): ValueInfoProto {
  const dim = dims.map((size) => ({ value: { case: 'dimValue' as const, value: BigInt(size) } }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType, shape: { dim } } } },
  });
}

/** `count` numbers of which about one in `every` is not zero, the same each time. */
export function sparseNumbers(count: number, every: number): Float32Array {
  let state = count + every;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 10) % every === 0 ? Math.fround(Math.sin(state)) : 0;
  });
}
