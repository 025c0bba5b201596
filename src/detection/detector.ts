// A detector, ready to run: pictures in, boxes out. Runs on the calling thread.
import { SecateurError } from '../errors.js';
import { readModel } from '../onnx/load.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { checkKeys, checkNumber } from '../options.js';
import { type RuntimeTensor, Session } from '../runtime/session.js';
import { Candidates } from './candidates.js';
import { classNamesOf } from './heads.js';
import { type Detection, suppress } from './nms.js';
import { type DetectorOutputs, outputsOf } from './outputs.js';

export interface DetectorOptions {
  /** The most threads; 0 means all cores. @default 0 */
  threads?: number | undefined;
}

export interface DetectOptions {
  /** Boxes with a score below this are no detections; in [0, 1). @default 0.25 */
  scoreThreshold?: number | undefined;
  /** A box goes that overlaps a better one of its class by more than this; in [0, 1]. @default 0.45 */
  iouThreshold?: number | undefined;
  /** The best so many of a picture, 1 or more. @default 100 */
  maxDetections?: number | undefined;
  /** `diou` spares neighbours whose centres are apart. @default 'iou' */
  overlap?: 'iou' | 'diou' | undefined;
}

/**
 * A detector in ONNX Runtime.
 *
 * @example
 * const detector = await Detector.open('yolov4.onnx');
 * const { pixels } = await loadLetterboxed('street.jpg', detector.size);
 * const [detections] = await detector.detect(pixels, 1);
 * await detector.close();
 */
export class Detector {
  /** Names of the classes, where the model has them. */
  readonly names: readonly string[] | undefined;
  readonly #session: Session;
  readonly #outputs: DetectorOutputs;

  private constructor(session: Session, outputs: DetectorOutputs, names: readonly string[] | undefined) {
    this.#session = session;
    this.#outputs = outputs;
    this.names = names;
  }

  /**
   * @param model an ONNX file, or a model in memory.
   * @throws SecateurError UNSUPPORTED where the model is no known detector; IO, INVALID_MODEL, NO_RUNTIME, RUNTIME.
   */
  static async open(model: string | ModelProto, options: DetectorOptions = {}): Promise<Detector> {
    checkKeys('option', Object.keys(options), ['threads']);
    const { threads = 0 } = options;
    checkNumber('threads', threads, { least: 0, most: 1024, whole: true });
    const graph = typeof model === 'string' ? readModel(model).model : model;
    const outputs = outputsOf(graph);
    return new Detector(await Session.open(model, { threads }), outputs, classNamesOf(graph));
  }

  /** Height and width of the input in pixels. */
  get size(): number {
    return this.#outputs.size;
  }

  get classes(): number {
    return this.#outputs.classes;
  }

  /**
   * Finds objects in pictures.
   *
   * @param inputs `count` pictures, each row-major [3, size, size], RGB in [0, 1], such as `loadLetterboxed` makes.
   * @returns for each picture its detections, best first, in pixels of the input; boxes may reach beyond it.
   * @throws SecateurError INVALID_OPTION; RUNTIME where the model fails to run.
   */
  async detect(inputs: Float32Array, count: number, options: DetectOptions = {}): Promise<Detection[][]> {
    const suppression = checked(options);
    const length = 3 * this.size * this.size;
    checkNumber('count', count, { least: 1, whole: true });
    if (inputs.length !== count * length) {
      const expected = `${count} pictures of ${length} numbers`;
      throw new SecateurError('INVALID_OPTION', `Expected inputs to be ${expected}, got ${inputs.length} numbers`);
    }
    const fixed = this.#session.inputs.find(({ name }) => name === this.#outputs.input)?.dims[0];
    const batch = typeof fixed === 'number' && fixed > 0 ? fixed : count;
    const detections: Detection[][] = [];
    for (let start = 0; start < count; start += batch) {
      const outputs = await this.#run(inputs.subarray(start * length, (start + batch) * length), batch);
      for (let index = 0; index < Math.min(batch, count - start); index++) {
        const into = new Candidates();
        const pictures = outputs.map((tensor) => picture(tensor, index));
        this.#outputs.read(pictures, { threshold: suppression.scoreThreshold, into });
        detections.push(suppress(into, suppression));
      }
    }
    return detections;
  }

  /** Lets go of the model's memory. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  /** The outputs for a batch; one that is not full is filled up with black. */
  async #run(pixels: Float32Array, batch: number): Promise<RuntimeTensor[]> {
    const { input, size, names } = this.#outputs;
    const planar = this.#outputs.pixels === 'planar';
    const whole = pixels.length === batch * 3 * size * size ? pixels : filledUp(pixels, batch * 3 * size * size);
    const data = planar ? whole : interleave(whole, size * size);
    const dims = planar ? [batch, 3, size, size] : [batch, size, size, 3];
    const fetches = Object.fromEntries(names.map((name) => [name, null]));
    const results = await this.#session.run({ [input]: this.#session.tensor(data, dims) }, fetches);
    return names.map((name) => results[name] as RuntimeTensor);
  }
}

function checked(options: DetectOptions) {
  checkKeys('option', Object.keys(options), ['scoreThreshold', 'iouThreshold', 'maxDetections', 'overlap']);
  const { scoreThreshold = 0.25, iouThreshold = 0.45, maxDetections = 100, overlap = 'iou' } = options;
  checkNumber('scoreThreshold', scoreThreshold, { least: 0, below: 1 });
  checkNumber('iouThreshold', iouThreshold, { least: 0, most: 1 });
  checkNumber('maxDetections', maxDetections, { least: 1, whole: true });
  if (overlap !== 'iou' && overlap !== 'diou') {
    throw new SecateurError('INVALID_OPTION', `Expected overlap to be iou or diou, got ${JSON.stringify(overlap)}`);
  }
  return { scoreThreshold, iouThreshold, maxDetections, overlap };
}

/** The part of an output that belongs to one picture of the batch. */
function picture({ data, dims, type }: RuntimeTensor, index: number) {
  if (!(data instanceof Float32Array)) {
    throw new SecateurError('UNSUPPORTED', `Expected the outputs of a detector to be float32, got ${type}`);
  }
  const length = data.length / (dims[0] ?? 1);
  return { values: data.subarray(index * length, (index + 1) * length), dims: dims.slice(1) };
}

function filledUp(values: Float32Array, length: number): Float32Array {
  const result = new Float32Array(length);
  result.set(values);
  return result;
}

/** [N, 3, pixels] to [N, pixels, 3]. */
function interleave(planes: Float32Array, pixels: number): Float32Array {
  const result = new Float32Array(planes.length);
  for (let start = 0; start < planes.length; start += 3 * pixels) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let color = 0; color < 3; color++) {
        result[start + 3 * pixel + color] = planes[start + color * pixels + pixel] ?? 0;
      }
    }
  }
  return result;
}
