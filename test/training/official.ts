// The official runtime: onnxruntime-web 1.19.2, the last release with a training build, in Node. What it computes is what
// ours is held against. It wants its files by URL, one thread, and its binary in memory.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { toBinary } from '@bufbuild/protobuf';
import { type ModelProto, ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { encodeCheckpoint } from '../../src/training/checkpoint/encode.js';
import type { Checkpoint } from '../../src/training/checkpoint/types.js';

export interface OfficialTensor {
  readonly data: Float32Array | BigInt64Array | Int32Array | Uint8Array;
  readonly dims: readonly number[];
}

type Results = Readonly<Record<string, OfficialTensor>>;

interface Session {
  run(feeds: Record<string, OfficialTensor>): Promise<Results>;
  release(): Promise<void>;
}

/** What its JavaScript API has, and no more: the learning rate is the checkpoint's, and nothing can be saved. */
export interface OfficialTraining {
  readonly trainingInputNames: readonly string[];
  readonly trainingOutputNames: readonly string[];
  runTrainStep(feeds: Record<string, OfficialTensor>): Promise<Results>;
  runEvalStep(feeds: Record<string, OfficialTensor>): Promise<Results>;
  runOptimizerStep(): Promise<void>;
  lazyResetGrad(): Promise<void>;
  getContiguousParameters(trainableOnly: boolean): Promise<OfficialTensor>;
  release(): Promise<void>;
}

interface Official {
  readonly env: { logLevel: string; wasm: { numThreads: number; wasmPaths: string; wasmBinary: Uint8Array } };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OfficialTensor;
  readonly InferenceSession: { create(model: Uint8Array): Promise<Session> };
  readonly TrainingSession: {
    create(options: {
      checkpointState: Uint8Array;
      trainModel: Uint8Array;
      evalModel?: Uint8Array;
      optimizerModel?: Uint8Array;
    }): Promise<OfficialTraining>;
  };
}

async function load(): Promise<Official> {
  const folder = join(import.meta.dirname, '../../node_modules/onnxruntime-web/dist');
  const official = (await import(pathToFileURL(join(folder, 'ort.training.wasm.mjs')).href)) as Official;
  official.env.wasm.numThreads = 1;
  official.env.wasm.wasmPaths = `${pathToFileURL(folder).href}/`;
  official.env.wasm.wasmBinary = readFileSync(join(folder, 'ort-training-wasm-simd-threaded.wasm'));
  official.env.logLevel = 'fatal';
  return official;
}

let official: Promise<Official> | undefined;

export async function officialRuntime(): Promise<Official> {
  official ??= load();
  return await official;
}

/** Runs a model once. Feeds are of the classes that onnxruntime-node's tensors are given by. */
export async function runOfficially(
  model: ModelProto,
  feeds: Readonly<Record<string, { type: string; data: unknown; dims: readonly number[] }>>,
): Promise<Results> {
  const { InferenceSession, Tensor } = await officialRuntime();
  const session = await InferenceSession.create(toBinary(ModelProtoSchema, model));
  const own = Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new Tensor(type, data, dims)]);
  const results = await session.run(Object.fromEntries(own));
  await session.release();
  return results;
}

/** A training session over artifacts in memory; a checkpoint of version 1 is rewritten, which it refuses otherwise. */
export async function trainOfficially(artifacts: {
  checkpoint: Checkpoint;
  training: Uint8Array;
  evaluation?: Uint8Array;
  optimizer?: Uint8Array;
}): Promise<OfficialTraining> {
  const { TrainingSession } = await officialRuntime();
  const { checkpoint, training, evaluation, optimizer } = artifacts;
  return await TrainingSession.create({
    checkpointState: encodeCheckpoint(checkpoint).bytes,
    trainModel: training,
    ...(evaluation && { evalModel: evaluation }),
    ...(optimizer && { optimizerModel: optimizer }),
  });
}
