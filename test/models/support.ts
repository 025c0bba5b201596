// What the tests of the models share: a stand-in for the addon's normal deviates, so that these tests need no addon,
// and counting over a model's initializers.
import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { FillNormal } from '../../models/weights.js';
import { type ModelProto, ModelProtoSchema, type TensorProto } from '../../src/onnx/schema/onnx_pb.js';

/** Normal deviates from a mixed counter by the method of Box and Muller; seed and stream decide every bit. */
export const fillNormal: FillNormal = (target, { seed, stream, std }) => {
  let state = (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0;
  const uniform = () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
  for (let index = 0; index < target.length; index += 2) {
    const radius = std * Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    target[index] = radius * Math.cos(angle);
    if (index + 1 < target.length) target[index + 1] = radius * Math.sin(angle);
  }
};

export function initializers(model: ModelProto): TensorProto[] {
  return model.graph?.initializer ?? [];
}

/** Numbers in the initializers whose name passes. */
export function countNumbers(model: ModelProto, accept: (name: string) => boolean = () => true): number {
  return initializers(model)
    .filter(({ name }) => accept(name))
    .reduce((sum, { rawData }) => sum + rawData.length / 4, 0);
}

/** What papers count: everything but the running statistics of BatchNormalization. */
export function countTrainable(model: ModelProto): number {
  return countNumbers(model, (name) => !/\.(mean|variance)$/.test(name));
}

/** The float32 numbers of an initializer. */
export function numbers({ rawData }: TensorProto): Float32Array {
  return new Float32Array(rawData.buffer, rawData.byteOffset, rawData.byteLength / 4);
}

export function nodesOf(model: ModelProto, opType: string) {
  return (model.graph?.node ?? []).filter((node) => node.opType === opType);
}

/** Runs a model on random numbers in [0, 1] and returns its outputs by name. */
export async function runOnNoise(model: ModelProto, dims: number[]): Promise<Record<string, Tensor>> {
  const session = await InferenceSession.create(toBinary(ModelProtoSchema, model), { intraOpNumThreads: 2 });
  const noise = new Float32Array(dims.reduce((product, dim) => product * dim, 1));
  fillNormal(noise, { seed: 99, stream: 0, std: 1 });
  const input = new Tensor(
    'float32',
    noise.map((value) => Math.min(1, Math.abs(value))),
    dims,
  );
  const outputs = await session.run({ input });
  await session.release();
  return Object.fromEntries(
    Object.entries(outputs).map(([name, value]) => [name, new Tensor('float32', float32(value.data), value.dims)]),
  );
}

/** Root mean square. */
export function rms(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

export function float32(data: unknown): Float32Array {
  if (data instanceof Float32Array) return data;
  throw new TypeError('Expected the output to be float32');
}
