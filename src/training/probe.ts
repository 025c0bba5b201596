// Learns the shape and type of every value of a model by running it once with made-up feeds, so that no shape inference
// has to be written (autodiff/shape-probe.ts makes the model to run).

import { moveToInputs } from '../autodiff/parameter-inputs.js';
import type { ValueFacts } from '../autodiff/rule.js';
import { shapeProbe, shapesOf } from '../autodiff/shape-probe.js';
import { SecateurError } from '../errors.js';
import { freeMemory } from '../free-memory.js';
import type { ModelProto, TensorProto } from '../onnx/schema/onnx_pb.js';
import { type RuntimeTensor, type RuntimeValue, Session } from '../runtime/session.js';

/** A batch of 1 could not be told from a dimension that is broadcast. */
const BATCH = 2;

/** Bytes of a weight that is fed instead of being part of the model. */
const LARGE = 2 ** 16;

/** Shapes of inputs by name, the batch included; needed where a model leaves more than the batch open. */
export type InputShapes = Readonly<Record<string, readonly number[]>>;

/**
 * Facts of every value of the model.
 *
 * @throws SecateurError INVALID_OPTION where an input's shape is open and not given; NO_RUNTIME; RUNTIME.
 */
export async function probeShapes(
  model: ModelProto,
  shapes: InputShapes = {},
): Promise<ReadonlyMap<string, ValueFacts>> {
  const probe = shapeProbe(model);
  const weights = weightsAsInputs(probe);
  const session = await Session.open(probe, { optimize: 'none' });
  try {
    const initializers = new Set(model.graph?.initializer.map(({ name }) => name));
    const inputs = session.inputs.filter(({ name }) => !initializers.has(name));
    const batch = batchOf(inputs, shapes);
    const dims = (input: RuntimeValue) => shapes[input.name] ?? withBatch(input, batch);
    const feeds = Object.fromEntries(inputs.map((input) => [input.name, madeUp(session, input, dims(input))]));
    const run = await session.run({ ...feeds, ...tensorsOf(session, weights) });
    const facts = shapesOf(model, { ...feeds, ...run });
    freeMemory(Object.values(run).flatMap(({ data }) => (ArrayBuffer.isView(data) ? [data.buffer] : [])));
    return facts;
  } finally {
    await session.close();
  }
}

/**
 * Takes the weights of many bytes out of a model, in place: fed as they lie in memory they need no copies, of which the
 * file for the runtime would be one and its own another.
 */
function weightsAsInputs(probe: ModelProto): TensorProto[] {
  const large = probe.graph?.initializer.filter(({ dataType, rawData }) => dataType === 1 && rawData.length >= LARGE);
  if (probe.graph === undefined || large === undefined) return [];
  moveToInputs(probe.graph, new Set(large.map(({ name }) => name)), shapesOf(probe, {}));
  return large;
}

function tensorsOf(session: Session, weights: readonly TensorProto[]): Record<string, RuntimeTensor> {
  const tensors = weights.map(({ name, dims, rawData }) => {
    const { buffer, byteOffset, byteLength } = rawData.byteOffset % 4 === 0 ? rawData : rawData.slice();
    return [name, session.tensor(new Float32Array(buffer, byteOffset, byteLength / 4), dims.map(Number))] as const;
  });
  return Object.fromEntries(tensors);
}

/** The batch of the shapes that are given, which the other inputs share. */
function batchOf(inputs: readonly RuntimeValue[], shapes: InputShapes): number {
  const given = inputs.flatMap(({ name, dims }) => {
    const batch = typeof dims[0] === 'string' ? shapes[name]?.[0] : undefined;
    return batch === undefined ? [] : [{ name, batch }];
  });
  const single = given.find(({ batch }) => batch < 2);
  if (single === undefined) return given[0]?.batch ?? BATCH;
  const { name, batch } = single;
  const message = `Expected inputShapes to give ${name} a batch of 2 or more, got ${batch}; the model stays open to any`;
  throw new SecateurError('INVALID_OPTION', message, { option: 'inputShapes', tensor: name });
}

function withBatch({ dims }: RuntimeValue, batch: number): readonly (number | string)[] {
  return dims.map((size, axis) => (axis === 0 && typeof size === 'string' ? batch : size));
}

/** Zeros: a valid class, index, mask and number. */
function madeUp(session: Session, input: RuntimeValue, dims: readonly (number | string)[]): RuntimeTensor {
  const open = dims.find((size) => typeof size === 'string' || size < 0);
  if (open !== undefined || dims.length !== input.dims.length) {
    throw new SecateurError(
      'INVALID_OPTION',
      `Expected the shape of input ${input.name} in inputShapes, since the model leaves it open: [${input.dims.join(', ')}]`,
      { option: 'inputShapes', tensor: input.name },
    );
  }
  const shape = dims as readonly number[];
  const elements = shape.reduce((product, size) => product * size, 1);
  return session.tensor(zeros(input, elements), shape, input.type as 'float32');
}

function zeros({ name, type }: RuntimeValue, elements: number): NodeJS.TypedArray {
  switch (type) {
    case 'float32':
      return new Float32Array(elements);
    case 'float64':
      return new Float64Array(elements);
    case 'int64':
      return new BigInt64Array(elements);
    case 'int32':
      return new Int32Array(elements);
    case 'uint8':
    case 'bool':
      return new Uint8Array(elements);
    default:
      throw new SecateurError('UNSUPPORTED', `Expected input ${name} to be of a type that data can feed, got ${type}`, {
        tensor: name,
      });
  }
}
