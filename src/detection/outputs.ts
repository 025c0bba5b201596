// What a detector's outputs are, and how boxes are read from them: raw heads of our own models, and the layouts of others
// (docs/detection.md). Found out from the graph alone, before it runs.
import { yolov4Heads, yolov4TinyHeads } from '../../models/yolov4/heads.js';
import { SecateurError } from '../errors.js';
import type { GraphProto, ModelProto, NodeProto } from '../onnx/schema/onnx_pb.js';
import type { Candidates } from './candidates.js';
import { decodeHead, interleavedLayout, planarLayout, readDecoded } from './decode.js';
import { boxChannels, detectionNetwork, dimsOf, type Head, imageInput, notHeads } from './heads.js';

/** An output of one picture: its numbers, and its dimensions without the batch. */
export interface PictureOutput {
  readonly values: Float32Array;
  readonly dims: readonly number[];
}

/** How to feed and read a detector. */
export interface DetectorOutputs {
  /** Name of the input. */
  readonly input: string;
  /** Height and width of the input in pixels. */
  readonly size: number;
  /** `planar` is [N, 3, size, size], `interleaved` [N, size, size, 3]. */
  readonly pixels: 'planar' | 'interleaved';
  readonly classes: number;
  /** Names of the outputs to compute. */
  readonly names: readonly string[];
  /** Adds the boxes of one picture with a score of at least `threshold`; `outputs` in the order of `names`. */
  read(outputs: readonly PictureOutput[], options: { threshold: number; into: Candidates }): void;
}

/**
 * The outputs of a detector.
 *
 * @throws SecateurError UNSUPPORTED where they are not those of a known detector; INVALID_MODEL on damaged metadata.
 */
export function outputsOf(model: ModelProto): DetectorOutputs {
  const noted = model.metadataProps.some(({ key }) => key === 'heads');
  return (noted ? undefined : (decodedOutputs(model) ?? interleavedOutputs(model))) ?? rawOutputs(model);
}

function rawOutputs(model: ModelProto): DetectorOutputs {
  const { input, size, classes, heads } = detectionNetwork(model);
  return {
    ...{ input, size, classes, pixels: 'planar' },
    names: heads.map(({ output }) => output),
    read: (outputs, options) => {
      for (const [index, head] of heads.entries()) {
        const { values, dims } = outputs[index] ?? missing(head.output);
        decodeHead(values, head, planarLayout(dims[1] ?? 0, dims[2] ?? 0, classes), options);
      }
    },
  };
}

/** pytorch-YOLOv4: corners [N, M, 1, 4] over the size, and scores [N, M, classes]. */
function decodedOutputs(model: ModelProto): DetectorOutputs | undefined {
  const outputs = (model.graph?.output ?? []).map((output) => ({ name: output.name, dims: dimsOf(output) }));
  const boxes = outputs.find(({ dims }) => dims.length === 4 && dims[2] === 1 && dims[3] === 4);
  const confs = outputs.find(({ dims }) => dims.length === 3);
  const classes = confs?.dims[2];
  if (boxes === undefined || confs === undefined || classes === undefined || outputs.length !== 2) return undefined;
  const { name, size } = imageInput(model);
  return {
    ...{ input: name, size, classes, pixels: 'planar' },
    names: [boxes.name, confs.name],
    read: ([corners = missing(boxes.name), scores = missing(confs.name)], options) =>
      readDecoded(corners.values, scores.values, { size, classes }, options),
  };
}

/**
 * TensorFlow's order: the input [N, size, size, 3], heads [N, rows, columns, 3, 5 + classes] or with the last two as one;
 * their rows may be known only when the model runs.
 */
function interleavedOutputs(model: ModelProto): DetectorOutputs | undefined {
  const input = interleavedInput(model);
  if (input === undefined) return undefined;
  const outputs = (model.graph?.output ?? []).map((output) => ({ name: output.name, dims: dimsOf(output) }));
  const published: readonly Head[] = outputs.length === 2 ? yolov4TinyHeads : yolov4Heads;
  const counts = outputs.map(({ dims }) => (dims.length === 5 ? dims[4] : (dims[3] ?? Number.NaN) / 3) ?? Number.NaN);
  const classes = (counts[0] ?? Number.NaN) - boxChannels;
  const headOf = (rows: number | undefined) => published.find(({ stride }) => stride * (rows ?? 0) === input.size);
  const fitting = outputs.every(({ dims }, index) => {
    return counts[index] === classes + boxChannels && (dims[1] === undefined || headOf(dims[1]) !== undefined);
  });
  if (outputs.length !== published.length || !fitting || !Number.isInteger(classes) || classes < 1) {
    throw notHeads('heads [N, rows, columns, 3, 5 + classes] beside an input [N, size, size, 3]', model);
  }
  const probabilities = outputs.map(({ name }) => endsInSigmoid(model.graph, name));
  return {
    ...{ input: input.name, size: input.size, classes, pixels: 'interleaved' },
    names: outputs.map(({ name }) => name),
    read: (pictures, options) => {
      for (const [index, { values, dims }] of pictures.entries()) {
        const [rows = 0, columns = 0] = dims;
        const head = headOf(rows) ?? unknownHead(rows, input.size);
        const layout = interleavedLayout(rows, columns, classes, head.anchors.length);
        decodeHead(values, head, { ...layout, probabilities: probabilities[index] === true }, options);
      }
    },
  };
}

function interleavedInput(model: ModelProto): { name: string; size: number } | undefined {
  const filled = new Set(model.graph?.initializer.map(({ name }) => name));
  const [input, ...others] = model.graph?.input.filter(({ name }) => !filled.has(name)) ?? [];
  if (input === undefined || others.length > 0) return undefined;
  const [, height, width, channels] = dimsOf(input);
  return channels === 3 && height !== undefined && height === width ? { name: input.name, size: height } : undefined;
}

const movingOps = new Set(['Identity', 'Reshape', 'Transpose', 'Cast', 'Squeeze', 'Unsqueeze']);

/** Whether a value is put together from parts of which some come from a Sigmoid. */
function endsInSigmoid(graph: GraphProto | undefined, output: string): boolean {
  const producers = new Map(graph?.node.flatMap((node) => node.output.map((name) => [name, node] as const)));
  const producer = (value: string | undefined): NodeProto | undefined => {
    const node = producers.get(value ?? '');
    return node !== undefined && movingOps.has(node.opType) ? producer(node.input[0]) : node;
  };
  const joined = producer(output);
  return joined?.opType === 'Concat' && joined.input.some((input) => producer(input)?.opType === 'Sigmoid');
}

function unknownHead(rows: number, size: number): never {
  throw new SecateurError(
    'UNSUPPORTED',
    `Expected heads of the strides that YOLOv4 has, got ${rows} rows for ${size} pixels`,
  );
}

function missing(name: string): never {
  throw new SecateurError('RUNTIME', `Expected the model to give its output ${name}`);
}
