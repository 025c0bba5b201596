// Models in ONNX Runtime: the only file that knows onnxruntime-node, which is an optional peer and is loaded on first
// use. A session runs on the thread that calls it and blocks it; training keeps its sessions in a worker.
import { toBinary } from '@bufbuild/protobuf';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { SecateurError } from '../errors.js';
import { freeMemory } from '../free-memory.js';
import { type ModelProto, ModelProtoSchema } from '../onnx/schema/onnx_pb.js';
import { SILENCE, silentSum } from './silent.js';

type Runtime = typeof import('onnxruntime-node');

/** A tensor of the runtime over a typed array's own memory. */
export type RuntimeTensor = Tensor;

/** Element types that cross the border; bool is a Uint8Array of zeros and ones, float16 a Uint16Array of bits. */
export type RuntimeType = 'float32' | 'float64' | 'float16' | 'int64' | 'int32' | 'int8' | 'uint8' | 'bool';

export interface SessionOptions {
  /** The most threads of one operator; 0 means all cores. Results depend on it in the last bits. @default 0 */
  threads?: number;
  /** `none` keeps the graph as it is written. @default 'all' */
  optimize?: 'all' | 'none';
  /**
   * `planned` lays the second run's memory out from what the first one took, beside it. `reused` only keeps what a run has
   * freed for the next. `returned` gives it back to the system at once. @default 'planned'
   */
  memory?: 'planned' | 'reused' | 'returned';
  /** Where to write the graph as the runtime has optimised it. */
  optimizedModelFile?: string;
  /** Where to write a profile: a prefix of the file's name. */
  profilePrefix?: string;
}

/** One declared input or output. */
export interface RuntimeValue {
  readonly name: string;
  readonly type: string;
  /** A length, or the name of a dimension that is known only when the model runs; '' where it has none. */
  readonly dims: readonly (number | string)[];
}

let runtime: Promise<Runtime> | undefined;

/** @throws SecateurError NO_RUNTIME where onnxruntime-node is not installed or does not load. */
async function load(): Promise<Runtime> {
  runtime ??= import('onnxruntime-node').then((module) => (module as { default?: Runtime }).default ?? module);
  try {
    return await runtime;
  } catch (error) {
    throw missing(error);
  }
}

function missing(cause: unknown): SecateurError {
  const advice = 'it runs and trains models: npm install onnxruntime-node (ONNXRUNTIME_NODE_INSTALL=skip if offline)';
  return new SecateurError('NO_RUNTIME', `Expected the package onnxruntime-node to load; ${advice}`, { cause });
}

/** Whether models can be run here. */
export async function hasRuntime(): Promise<boolean> {
  try {
    await load();
    return true;
  } catch {
    return false;
  }
}

/**
 * A model, ready to run.
 *
 * @example
 * const session = await Session.open('model.onnx');
 * const { logits } = await session.run({ input: session.tensor(pixels, [1, 1, 28, 28]) });
 * await session.close();
 */
export class Session {
  readonly inputs: readonly RuntimeValue[];
  readonly outputs: readonly RuntimeValue[];
  readonly #runtime: Runtime;
  readonly #session: InferenceSession;

  private constructor(module: Runtime, session: InferenceSession) {
    this.#runtime = module;
    this.#session = session;
    this.inputs = session.inputMetadata.map(declared);
    this.outputs = session.outputMetadata.map(declared);
  }

  /**
   * @param model a path (external data is found beside it), the bytes of a model, or the model itself.
   * @throws SecateurError NO_RUNTIME; RUNTIME where the runtime refuses the model.
   */
  static async open(model: string | Uint8Array | ModelProto, options: SessionOptions = {}): Promise<Session> {
    const module = await load();
    const source = typeof model === 'string' || model instanceof Uint8Array ? model : toBinary(ModelProtoSchema, model);
    try {
      const created =
        typeof source === 'string'
          ? module.InferenceSession.create(source, nativeOptions(options))
          : module.InferenceSession.create(source, nativeOptions(options));
      return new Session(module, await created);
    } catch (cause) {
      const where = typeof model === 'string' ? model : 'the model';
      throw refused(`Expected ${where} to load in ONNX Runtime`, cause);
    }
  }

  /** A tensor over `data`, not a copy: later writes show in later runs. */
  tensor(data: NodeJS.TypedArray, dims: readonly number[], type: RuntimeType = typeOf(data)): RuntimeTensor {
    const { Tensor: Class } = this.#runtime;
    return Reflect.construct(Class, [type, data, [...dims]]) as RuntimeTensor;
  }

  /**
   * Runs the model once; blocks this thread meanwhile.
   *
   * @param fetches outputs to compute, all by default; where a tensor is given, its memory is written, and it is returned.
   * @throws SecateurError RUNTIME where the runtime fails, as on wrong shapes.
   */
  async run(
    feeds: Readonly<Record<string, RuntimeTensor>>,
    fetches?: Readonly<Record<string, RuntimeTensor | null>>,
  ): Promise<Readonly<Record<string, RuntimeTensor>>> {
    try {
      if (fetches === undefined) return await this.#session.run(feeds);
      return keepGiven(await this.#session.run(feeds, fetches), fetches);
    } catch (cause) {
      throw refused('Expected the model to run', cause);
    }
  }

  /**
   * Runs the model once and writes outputs into the memory of the tensors given for them. Of a model `withSilence`
   * (silent.ts) the runtime then makes no copies.
   *
   * @throws SecateurError as `run`.
   */
  async write(
    feeds: Readonly<Record<string, RuntimeTensor>>,
    into: Readonly<Record<string, RuntimeTensor>>,
  ): Promise<void> {
    const silence = this.outputs[0]?.name === SILENCE ? await messageOfSilence() : undefined;
    if (silence === undefined) {
      await this.run(feeds, into);
      return;
    }
    try {
      await this.#session.run(feeds, { [SILENCE]: null, ...into });
    } catch (cause) {
      if (!(cause instanceof Error && cause.message === silence)) throw refused('Expected the model to run', cause);
    }
  }

  /** Lets go of the model's memory, and writes the profile where one was asked for. */
  async close(): Promise<void> {
    this.#session.endProfiling();
    await this.#session.release();
  }
}

let tried: Promise<string | undefined> | undefined;

/**
 * What the runtime says of a sequence that it computed and cannot return; undefined where it does not say it, or has not
 * written the other outputs by then.
 */
function messageOfSilence(): Promise<string | undefined> {
  tried ??= trySilence();
  return tried;
}

async function trySilence(): Promise<string | undefined> {
  const { InferenceSession, Tensor: Class } = await load();
  const session = await InferenceSession.create(toBinary(ModelProtoSchema, silentSum()), nativeOptions({ threads: 1 }));
  const y = new Float32Array(1);
  try {
    const x = new Class('float32', Float32Array.of(2), [1]);
    await session.run({ x }, { [SILENCE]: null, y: new Class('float32', y, [1]) });
    return undefined;
  } catch (error) {
    return error instanceof Error && y[0] === 4 ? error.message : undefined;
  } finally {
    await session.release();
  }
}

/**
 * onnxruntime-node (1.30) writes into a tensor that it is given and returns a copy beside it: of all gradients, as much
 * memory as the model, until the garbage collector comes by.
 */
function keepGiven(
  results: Readonly<Record<string, RuntimeTensor>>,
  fetches: Readonly<Record<string, RuntimeTensor | null>>,
): Readonly<Record<string, RuntimeTensor>> {
  const kept = Object.entries(results).map(([name, result]) => {
    const given = fetches[name];
    if (given === null || given === undefined) return [name, result] as const;
    if (result.data !== given.data) freeMemory([(result.data as Float32Array).buffer]);
    return [name, given] as const;
  });
  return Object.fromEntries(kept);
}

function nativeOptions(options: SessionOptions): InferenceSession.SessionOptions {
  const { threads = 0, optimize = 'all', memory = 'planned', optimizedModelFile, profilePrefix } = options;
  return {
    intraOpNumThreads: threads,
    enableMemPattern: memory === 'planned',
    enableCpuMemArena: memory !== 'returned',
    graphOptimizationLevel: optimize === 'all' ? 'all' : 'disabled',
    logSeverityLevel: 3,
    ...(optimizedModelFile !== undefined && { optimizedModelFilePath: optimizedModelFile }),
    ...(profilePrefix !== undefined && { enableProfiling: true, profileFilePrefix: profilePrefix }),
  };
}

function refused(expected: string, cause: unknown): SecateurError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SecateurError('RUNTIME', `${expected}, but it says: ${reason.split('\n')[0]}`, { cause });
}

function declared(value: InferenceSession.ValueMetadata): RuntimeValue {
  return value.isTensor
    ? { name: value.name, type: value.type, dims: value.shape }
    : { name: value.name, type: 'other', dims: [] };
}

function typeOf(data: NodeJS.TypedArray): RuntimeType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Float64Array) return 'float64';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof Int8Array) return 'int8';
  return data instanceof Uint16Array ? 'float16' : 'uint8';
}
