// Runs models and compares gradients with central differences. The loss is the output's sum with random factors, taken
// in float64 here, so that float32 kernels leave about four digits.
import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { shapeProbe, shapesOf } from '../../src/autodiff/shape-probe.js';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import type { Attributes } from '../../src/onnx/build/attributes.js';
import { GraphBuilder, type Value } from '../../src/onnx/build/graph-builder.js';
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

/** An input that is not differentiated, or null where it is left out. */
export type Fixed =
  | null
  | { readonly int64: number | readonly number[]; readonly dims?: readonly number[] }
  | { readonly bool: readonly number[]; readonly dims?: readonly number[] }
  | { readonly float32: number | readonly number[]; readonly dims?: readonly number[] };

export interface Case {
  readonly op: string;
  /** Shapes of the differentiable inputs. */
  readonly shapes: readonly (readonly number[])[];
  readonly attributes?: Attributes;
  /** int64 inputs that follow. */
  readonly integers?: readonly (readonly number[])[];
  /** Other inputs that follow. */
  readonly rest?: readonly Fixed[];
  /** The order of the inputs, as positions in the lists above. */
  readonly order?: readonly number[];
  /** Applied to the random inputs, which have the given index. */
  readonly transform?: (value: number, input: number) => number;
  readonly opset?: number;
  readonly domain?: string;
  /** How many outputs the node has. @default 1 */
  readonly outputs?: number;
  /** The outputs that the loss depends on. @default [0] */
  readonly used?: readonly number[];
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

function fixed(g: GraphBuilder, input: Fixed): Value | null {
  if (input === null) return null;
  if ('int64' in input) {
    const values = [input.int64].flat();
    return g.constant(
      input.dims ?? (typeof input.int64 === 'number' ? [] : [values.length]),
      BigInt64Array.from(values, BigInt),
    );
  }
  if ('bool' in input) {
    const bytes = g.constant(input.dims ?? [input.bool.length], Uint8Array.from(input.bool));
    return g.op('Cast', [bytes], { to: 9 });
  }
  const values = [input.float32].flat();
  return g.constant(
    input.dims ?? (typeof input.float32 === 'number' ? [] : [values.length]),
    Float32Array.from(values),
  );
}

/** The node alone in a model, with its inputs. */
export function forwardOf(item: Case) {
  const { op, shapes, attributes = {}, integers = [], rest = [], opset = 17, domain = '' } = item;
  const g = GraphBuilder.create('case');
  const names = shapes.map((shape, index) => g.input(`x${index}`, 'float32', shape));
  const inputs = [...names, ...integers.map((list) => g.int64(list)), ...rest.map((input) => fixed(g, input))];
  const ordered = item.order?.map((position) => inputs[position]!) ?? inputs;
  const ys = g.ops(op, ordered, item.outputs ?? 1, attributes, { name: 'y', domain });
  const model = modelOf(g.graph, { opset, domains: domain === '' ? {} : { [domain]: 1 } });
  const feeds: Feeds = Object.fromEntries(
    shapes.map((shape, index) => {
      const raw = noise(sizeOf(shape), index + 1);
      const { transform } = item;
      const data = transform ? raw.map((value) => transform(value, index)) : raw;
      return [`x${index}`, new Tensor('float32', data, [...shape])];
    }),
  );
  return { g, model, feeds, names, used: (item.used ?? [0]).map((index) => ys[index]!) };
}

/** The largest difference between gradient and central differences, in parts of the largest gradient, or of 0.05. */
export async function worstError(item: Case): Promise<number> {
  const { g, model, feeds, names, used } = forwardOf(item);
  const { opset = 17 } = item;
  const facts = await probe(model, feeds);
  const forward = await open(shapeProbe(model));
  const factors = used.map((y, index) => noise(sizeOf(facts.get(y)!.shape), 9 + index));
  const totals = used.map((y, index) => {
    const shape = facts.get(y)!.shape;
    const weighted = g.op('Mul', [y, g.constant(shape, factors[index]!)]);
    const axes = shape.map((_, axis) => axis);
    return g.op('ReduceSum', [weighted], { keepdims: 0, ...(opset < 13 && axes.length > 0 ? { axes } : {}) });
  });
  const total = g.op('Sum', totals, {}, { name: 'total' });
  const shapes = await probe(model, feeds);
  const { model: training, gradients } = buildTrainingGraph(model, { loss: total, wrt: names, shapes });
  const session = await open(training);
  const got = await session.run(feeds);
  const loss = async () => {
    const run = await forward.run(feeds);
    const sums = used.map((y, index) =>
      (run[y]!.data as Float32Array).reduce((sum, value, at) => sum + value * factors[index]![at]!, 0),
    );
    return sums.reduce((a, b) => a + b, 0);
  };
  let worst = 0;
  for (const name of names) {
    const gradient = got[gradients.get(name)!]!;
    if (gradient.dims.join() !== feeds[name]!.dims.join())
      throw new Error(`${item.op}: shape [${gradient.dims}] of ${name}`);
    const wanted = await differences(feeds[name]!.data as Float32Array, loss);
    const scale = Math.max(0.05, ...wanted.map(Math.abs));
    for (const [index, value] of wanted.entries()) {
      const error = Math.abs(value - (gradient.data as Float32Array)[index]!) / scale;
      worst = Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
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
