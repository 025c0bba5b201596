// Small graphs with dead channels: built, saved, compacted, and run before and after in onnxruntime-node.
import { dirname, join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect } from 'vitest';
import { type CompactOptions, type CompactReport, compact } from '../../src/compact/compact.js';
import type { GraphBuilder, Value } from '../../src/onnx/build/graph-builder.js';
import { GraphBuilder as Builder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { readModel } from '../../src/onnx/load.js';
import { materialize } from '../../src/onnx/payload.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';
import { saved } from '../onnx/helpers.js';

/** Numbers in [-1, 1) from a seed, none of them zero. */
export function noise(count: number, seed: number): Float32Array {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (((mixed ^ (mixed >>> 15)) >>> 0) + 0.5) / 2 ** 31 - 1;
  });
}

/** A layer builder whose weights are noise with some output channels (`dead`) or input channels (`unread`) zero. */
export class Layers {
  readonly graph: GraphBuilder;
  #seed = 1;

  constructor(graph: GraphBuilder) {
    this.graph = graph;
  }

  /** A vector of noise. */
  vector(length: number, name = 'vector', positive = false): Value {
    const values = noise(length, this.#seed++);
    return this.graph.initializer(name, [length], positive ? values.map((value) => Math.abs(value) + 0.1) : values);
  }

  weight(shape: readonly number[], { dead = [], unread = [] }: Dead = {}, name = 'weight', axes = [0, 1]): Value {
    const count = shape.reduce((product, dim) => product * dim, 1);
    const data = noise(count, this.#seed++);
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, dim) => product * dim, 1));
    for (const index of data.keys()) {
      const at = (axis: number) => Math.floor(index / strides[axis]!) % shape[axis]!;
      if (dead.includes(at(axes[0]!)) || unread.includes(at(axes[1]!))) data[index] = 0;
    }
    return this.graph.initializer(name, shape, data);
  }

  conv(x: Value, [inputs, outputs]: readonly [number, number], options: ConvOptions = {}): Value {
    const { kernel = 1, pad = 0, stride = 1, group = 1, bias = true, name = 'conv', ...zeros } = options;
    const w = this.weight([outputs, inputs / group, kernel, kernel], zeros, `${name}.weight`);
    const b = bias ? [this.vector(outputs, `${name}.bias`)] : [];
    const attributes = { pads: [pad, pad, pad, pad], strides: [stride, stride], group, kernel_shape: [kernel, kernel] };
    return this.graph.op('Conv', [x, w, ...b], attributes, { name });
  }

  batchNorm(x: Value, channels: number): Value {
    const parameters = ['scale', 'bias', 'mean', 'variance'].map((name) =>
      this.vector(channels, `norm.${name}`, name === 'variance'),
    );
    return this.graph.op('BatchNormalization', [x, ...parameters]);
  }

  gemm(
    x: Value,
    [inputs, outputs]: readonly [number, number],
    { name = 'fc', ...zeros }: Dead & { name?: string } = {},
  ): Value {
    const w = this.weight([outputs, inputs], zeros, `${name}.weight`);
    return this.graph.op('Gemm', [x, w, this.vector(outputs, `${name}.bias`)], { transB: 1 }, { name });
  }
}

export interface Dead {
  dead?: readonly number[];
  unread?: readonly number[];
}

export interface ConvOptions extends Dead {
  kernel?: number;
  pad?: number;
  stride?: number;
  group?: number;
  bias?: boolean;
  name?: string;
}

export interface Built {
  model: ModelProto;
  /** Shapes to run with. */
  feeds: Record<string, number[]>;
}

/** A model of one input `x` and the outputs that `build` returns. */
export function build(
  shape: readonly number[],
  make: (layers: Layers, x: Value) => Value | readonly Value[],
  { opset = 17, symbolic = true }: { opset?: number; symbolic?: boolean } = {},
): Built {
  const graph = Builder.create('test');
  const x = graph.input('x', 'float32', symbolic ? ['N', ...shape.slice(1)] : shape);
  const outputs = [make(new Layers(graph), x)].flat();
  for (const output of outputs) graph.output(output, 'float32', []);
  for (const info of graph.graph.output) {
    if (info.type?.value.case === 'tensorType') info.type.value.value.shape = undefined;
  }
  return { model: modelOf(graph.graph, { opset }), feeds: { x: [...shape] } };
}

export interface Compacted {
  report: CompactReport;
  /** The output, with its tensors in memory. */
  model: ModelProto;
  path: string;
}

/** Compacts and checks that the outputs are the same, within `tolerance` of the largest. */
export async function compacted(
  { model, feeds }: Built,
  options: Partial<CompactOptions> & { tolerance?: number } = {},
): Promise<Compacted> {
  const { tolerance = 1e-5, ...rest } = options;
  const path = saved(model);
  const output = join(dirname(path), 'compact.onnx');
  const report = await compact(path, { output, measure: false, ...rest });
  const [before, after] = [await run(path, feeds), await run(output, feeds)];
  expect(Object.keys(after)).toEqual(Object.keys(before));
  for (const [name, { dims, data }] of Object.entries(before)) {
    expect(after[name]!.dims).toEqual(dims);
    const [wanted, got] = [data as Float32Array, after[name]!.data as Float32Array];
    const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    const worst = wanted.reduce((most, value, index) => Math.max(most, Math.abs(value - got[index]!)), 0);
    expect(worst / largest, `difference of output ${name}`).toBeLessThan(tolerance);
  }
  const loaded = readModel(output);
  materialize(loaded);
  return { report, model: loaded.model, path: output };
}

export async function run(path: string, feeds: Record<string, number[]>): Promise<Record<string, Tensor>> {
  const session = await InferenceSession.create(path, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  const inputs = Object.entries(feeds).map(([name, dims], index) => {
    const count = dims.reduce((product, dim) => product * dim, 1);
    return [name, new Tensor('float32', noise(count, 99 + index), dims)];
  });
  const outputs = await session.run(Object.fromEntries(inputs));
  await session.release();
  return outputs as Record<string, Tensor>;
}

/** Dims of an initializer. */
export function dims(model: ModelProto, name: string): number[] | undefined {
  return model.graph?.initializer.find((tensor) => tensor.name === name)?.dims.map(Number);
}

export function operators(model: ModelProto): string[] {
  return (model.graph?.node ?? []).map(({ opType }) => opType).filter((opType) => opType !== 'Constant');
}
