// Which outputs of a model are detection heads, and what their numbers mean. No decoding and no losses here.
//
// A head is [N, anchors * (5 + classes), size / stride, size / stride]. Its channels go anchor by anchor, and for each:
// x and y of the centre in the cell (logits), logarithms of width and height over the anchor's, objectness (a logit),
// then a logit a class.
import { create } from '@bufbuild/protobuf';
import { type Head, yolov4Heads, yolov4TinyHeads } from '../../models/yolov4/heads.js';
import { invalidOption, SecateurError } from '../errors.js';
import { copyModel } from '../onnx/copy.js';
import { type ModelProto, StringStringEntryProtoSchema, type ValueInfoProto } from '../onnx/schema/onnx_pb.js';

export type { Head };

/** Channels of an anchor before its classes. */
export const boxChannels = 5;

/** A detector with raw heads. */
export interface DetectionNetwork {
  /** Name of the input, [N, 3, size, size]. */
  readonly input: string;
  /** Height and width of the input in pixels. */
  readonly size: number;
  readonly classes: number;
  /** Names of the classes, where the model has them. */
  readonly names?: readonly string[] | undefined;
  /** In the order of the strides, finest first. */
  readonly heads: readonly Head[];
}

/**
 * The heads of a model: from its metadata (`heads`), else from the shapes of its outputs and the published anchors of
 * YOLOv4 (strides 8, 16 and 32) or YOLOv4-tiny (16 and 32). Finest first.
 *
 * @throws SecateurError UNSUPPORTED where that cannot be told; INVALID_MODEL where the metadata are damaged.
 */
export function headsOf(model: ModelProto): readonly Head[] {
  const noted = model.metadataProps.find(({ key }) => key === 'heads')?.value;
  const heads = noted === undefined ? publishedHeads(model) : parseHeads(noted);
  return heads.toSorted((a, b) => a.stride - b.stride);
}

/**
 * Input, size, classes and heads of a model.
 *
 * @throws SecateurError as {@link headsOf}; UNSUPPORTED where the input's size is open or not square, or heads disagree.
 */
export function detectionNetwork(model: ModelProto): DetectionNetwork {
  const { name, size } = imageInput(model);
  const heads = headsOf(model);
  const counts = heads.map(({ output, anchors }) => {
    const channels = dimsOf(findOutput(model, output))[1] ?? Number.NaN;
    return channels / anchors.length - boxChannels;
  });
  const [classes = 0] = counts;
  if (Number.isInteger(classes) && classes > 0 && counts.every((count) => count === classes)) {
    return { input: name, size, classes, names: classNamesOf(model), heads };
  }
  throw notHeads(`anchors * (${boxChannels} + classes) channels with the same classes in all heads`, model);
}

/**
 * A copy of a model for pictures of another size; its tensors are shared. The layers stay as they are.
 *
 * @throws SecateurError INVALID_OPTION where the size is no multiple of the coarsest stride.
 */
export function withInputSize(model: ModelProto, size: number): ModelProto {
  const network = detectionNetwork(model);
  if (size === network.size) return model;
  const stride = Math.max(...network.heads.map((head) => head.stride));
  if (!(Number.isInteger(size / stride) && size > 0)) throw invalidOption('size', `a multiple of ${stride}`, size);
  const copy = copyModel(model);
  const sides = new Map([
    [network.input, size],
    ...network.heads.map((head) => [head.output, size / head.stride] as const),
  ]);
  for (const value of [...(copy.graph?.input ?? []), ...(copy.graph?.output ?? [])]) {
    const side = sides.get(value.name);
    const dims = value.type?.value.case === 'tensorType' ? (value.type.value.value.shape?.dim ?? []) : [];
    if (side === undefined) continue;
    for (const dim of dims.slice(2)) dim.value = { case: 'dimValue', value: BigInt(side) };
  }
  if (copy.graph !== undefined) copy.graph.valueInfo = [];
  return copy;
}

/** The names of the classes where the model's metadata (`names`, a JSON array) have them. */
export function classNamesOf(model: ModelProto): readonly string[] | undefined {
  const names = model.metadataProps.find(({ key }) => key === 'names')?.value;
  const parsed = names === undefined ? undefined : parseJson('names', names);
  return Array.isArray(parsed) && parsed.every((name) => typeof name === 'string') ? parsed : undefined;
}

/** Gives a model names for its classes, in place, unless it has some. */
export function nameClasses(model: ModelProto, names: readonly string[] | undefined): void {
  if (names === undefined || classNamesOf(model) !== undefined) return;
  model.metadataProps.push(create(StringStringEntryProtoSchema, { key: 'names', value: JSON.stringify(names) }));
}

function parseHeads(text: string): Head[] {
  const heads = parseJson('heads', text);
  if (Array.isArray(heads) && heads.length > 0 && heads.every(isHead)) return heads;
  throw new SecateurError('INVALID_MODEL', 'Expected the metadata "heads" to list output, stride, anchors and scaleXY');
}

function isHead(value: Partial<Head> | null): value is Head {
  const positive = (number: unknown) => typeof number === 'number' && number > 0 && Number.isFinite(number);
  return (
    typeof value?.output === 'string' &&
    positive(value.stride) &&
    positive(value.scaleXY) &&
    Array.isArray(value.anchors) &&
    value.anchors.length > 0 &&
    value.anchors.every((anchor) => Array.isArray(anchor) && anchor.length === 2 && anchor.every(positive))
  );
}

function parseJson(key: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw notJson(key, error);
  }
}

function notJson(key: string, cause: unknown): SecateurError {
  return new SecateurError('INVALID_MODEL', `Expected JSON in the metadata "${key}", got something else`, { cause });
}

/** The heads of a file that others made, by their strides. */
function publishedHeads(model: ModelProto): Head[] {
  const { size } = imageInput(model);
  const outputs = (model.graph?.output ?? []).map((output) => ({ name: output.name, dims: dimsOf(output) }));
  const published = outputs.length === 2 ? yolov4TinyHeads : yolov4Heads;
  return published.map((head) => {
    const cells = size / head.stride;
    const found = outputs.filter(({ dims }) => dims.length === 4 && dims[2] === cells && dims[3] === cells);
    if (found.length !== 1 || outputs.length !== published.length) {
      throw notHeads('raw heads of YOLOv4 or YOLOv4-tiny, [N, channels, size / stride, size / stride]', model);
    }
    return { ...head, output: found[0]?.name ?? '' };
  });
}

/** The only input that is an image of a known, square size. */
export function imageInput(model: ModelProto): { name: string; size: number } {
  const filled = new Set(model.graph?.initializer.map(({ name }) => name)); // in old files they are inputs too
  const inputs = model.graph?.input.filter(({ name }) => !filled.has(name)) ?? [];
  const [first] = inputs;
  const [, channels, height, width] = first === undefined ? [] : dimsOf(first);
  if (first !== undefined && inputs.length === 1 && channels === 3 && height !== undefined && height === width) {
    return { name: first.name, size: height };
  }
  const shown = inputs.map((input) => `${input.name} [${dimsOf(input).map((dim) => dim ?? '?')}]`).join(', ');
  throw new SecateurError('UNSUPPORTED', `Expected one input [N, 3, size, size] with a known size, got ${shown}`);
}

function findOutput(model: ModelProto, name: string): ValueInfoProto {
  const found = model.graph?.output.find((output) => output.name === name);
  if (found !== undefined) return found;
  throw new SecateurError('INVALID_MODEL', `Expected the head ${name} of the metadata to be an output of the model`);
}

/** Sizes; undefined where they are open. */
export function dimsOf({ type }: ValueInfoProto): (number | undefined)[] {
  const dims = type?.value.case === 'tensorType' ? (type.value.value.shape?.dim ?? []) : [];
  return dims.map(({ value }) => (value.case === 'dimValue' && value.value > 0n ? Number(value.value) : undefined));
}

export function notHeads(expected: string, model: ModelProto): SecateurError {
  const shown = model.graph?.output.map((output) => `${output.name} [${dimsOf(output).map((dim) => dim ?? '?')}]`);
  return new SecateurError(
    'UNSUPPORTED',
    `Expected ${expected}, got ${shown?.join(', ') ?? 'no outputs'}; the metadata "heads" of a model say where its ` +
      'heads and anchors are',
  );
}
