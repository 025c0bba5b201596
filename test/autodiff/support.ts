// Runs models and compares gradients with central differences. The loss is the output's sum with random factors, taken
// in float64 here, so that float32 kernels leave about four digits.
import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { shapeProbe, shapesOf } from '../../src/autodiff/shape-probe.js';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import type { Attributes } from '../../src/onnx/build/attributes.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { type ModelProto, ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';

export type Feeds = Record<string, Tensor>;

export function open(model: ModelProto): Promise<InferenceSession> {
  return InferenceSession.create(toBinary(ModelProtoSchema, model), { intraOpNumThreads: 1, logSeverityLevel: 3 });
}

/** Facts of every value: one run of the probe. */
export async function probe(model: ModelProto, feeds: Feeds) {
  const session = await open(shapeProbe(model));
  const run = await session.run(feeds);
  await session.release();
  return shapesOf(model, { ...feeds, ...run });
}

/** Numbers in [-2, 2] from a mixed counter, all different and none within 0.05 of 0 or of each other where few. */
export function noise(count: number, seed: number): Float32Array {
  const order = Array.from({ length: count }, (_, index) => index);
  let state = seed * 7919 + 17;
  for (let index = count - 1; index > 0; index--) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const other = (state >>> 8) % (index + 1);
    [order[index], order[other]] = [order[other]!, order[index]!];
  }
  return Float32Array.from(order, (rank) => (4 * (rank + 0.5)) / count - 2 + (count % 2 === 1 ? 1 / count : 0));
}

export interface Case {
  readonly op: string;
  /** Shapes of the differentiable inputs. */
  readonly shapes: readonly (readonly number[])[];
  readonly attributes?: Attributes;
  /** int64 inputs that follow. */
  readonly integers?: readonly (readonly number[])[];
  /** Applied to the random inputs. */
  readonly transform?: (value: number) => number;
  readonly opset?: number;
}

/** The largest difference between gradient and central differences, in parts of the largest gradient, or of 1. */
export async function worstError({ op, shapes, attributes = {}, integers = [], transform, opset = 17 }: Case) {
  const g = GraphBuilder.create('case');
  const names = shapes.map((shape, index) => g.input(`x${index}`, 'float32', shape));
  const y = g.op(op, [...names, ...integers.map((list) => g.int64(list))], attributes, { name: 'y' });
  const model = modelOf(g.graph, { opset });
  const feeds: Feeds = Object.fromEntries(
    shapes.map((shape, index) => {
      const raw = noise(
        shape.reduce((product, size) => product * size, 1),
        index + 1,
      );
      return [`x${index}`, new Tensor('float32', transform ? raw.map(transform) : raw, [...shape])];
    }),
  );
  const facts = await probe(model, feeds);
  const yShape = facts.get(y)!.shape;
  const factors = noise(
    yShape.reduce((product, size) => product * size, 1),
    9,
  );
  const forward = await open(shapeProbe(model));
  const rank = yShape.map((_, axis) => axis);
  g.op('Mul', [y, g.constant(yShape, factors)], {}, { name: 'weighted' });
  const reduce = { keepdims: 0, ...(opset < 13 && rank.length > 0 ? { axes: rank } : {}) };
  g.op('ReduceSum', ['weighted'], reduce, { name: 'total' });
  const { model: training, gradients } = buildTrainingGraph(model, {
    loss: 'total',
    wrt: names,
    shapes: await probe(model, feeds),
  });
  const session = await open(training);
  const got = await session.run(feeds);
  const loss = async () => {
    const out = (await forward.run(feeds))[y]!.data as Float32Array;
    return out.reduce((sum, value, index) => sum + value * factors[index]!, 0);
  };
  let worst = 0;
  for (const name of names) {
    const gradient = got[gradients.get(name)!]!;
    if (gradient.dims.join() !== feeds[name]!.dims.join())
      throw new Error(`${op}: shape [${gradient.dims}] of ${name}`);
    const wanted = await differences(feeds[name]!.data as Float32Array, loss);
    const scale = Math.max(1, ...wanted.map(Math.abs));
    for (const [index, value] of wanted.entries()) {
      worst = Math.max(worst, Math.abs(value - (gradient.data as Float32Array)[index]!) / scale);
    }
  }
  await Promise.all([session.release(), forward.release()]);
  return worst;
}

/** Central differences with respect to every element, or to those at `indices`. */
export async function differences(
  data: Float32Array,
  loss: () => Promise<number>,
  indices: readonly number[] = [...data.keys()],
): Promise<number[]> {
  const step = 2 ** -8;
  const slopes: number[] = [];
  for (const index of indices) {
    const value = data[index] ?? 0;
    const losses: number[] = [];
    for (const moved of [value + step, value - step]) {
      data[index] = moved;
      losses.push(await Promise.resolve(loss()));
    }
    slopes.push((losses[0]! - losses[1]!) / (2 * step));
    data[index] = value;
  }
  return slopes;
}
