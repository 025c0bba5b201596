// `evaluateDetection`: what a detector is worth on pictures with boxes, by COCO's metrics in the pictures' own pixels.

import { prefetch } from '../data/batches.js';
import { type DetectionBatch, DetectionBatches } from '../data/detection/batches.js';
import { areaOf } from '../data/detection/boxes.js';
import type { DetectionDataset } from '../data/detection/dataset.js';
import { type Letterbox, toImage } from '../data/detection/letterbox.js';
import { invalidOption, throwIfAborted } from '../errors.js';
import { type CategoryMetrics, CocoMetrics, type DetectionMetrics } from '../metrics/coco.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { checkKeys } from '../options.js';
import { readWholeModel } from '../training/model-file.js';
import { matchClasses } from './classes.js';
import { Detector } from './detector.js';
import { withInputSize } from './heads.js';
import type { Detection } from './nms.js';

/** What a detector is worth on some data. */
export interface DetectionEvaluation extends DetectionMetrics {
  readonly task: 'detection';
  readonly pictures: number;
  /** Pixels of the input's side. */
  readonly size: number;
  /** Of each category of the data, in order. */
  readonly categories: readonly (CategoryMetrics & { readonly name: string })[];
}

export interface EvaluateDetectionOptions {
  /** Pixels of the input's side, where it is not to be the model's own. */
  size?: number;
  /** Pictures at a time. @default 8 */
  batchSize?: number;
  /** The most threads; 0 means all cores. @default 0 */
  threads?: number;
  /** Detections below this score, in [0, 1), do not count. Low, since precision is wanted at every recall. @default 0.001 */
  scoreThreshold?: number;
  /** Of detections of a class that overlap more than this (IoU), in [0, 1], only the best stays. @default 0.6 */
  iouThreshold?: number;
  /** The best so many of a picture count, 1 or more. @default 100, the most that COCO counts of a class */
  maxDetections?: number;
  /** Called after each batch. */
  onProgress?: ((done: number, pictures: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

const LIMITS = ['scoreThreshold', 'iouThreshold', 'maxDetections'];
const KEYS = ['size', 'batchSize', 'threads', ...LIMITS, 'onProgress', 'signal'];

/**
 * COCO's metrics of a model.
 *
 * @param model an ONNX file, or a model in memory. Its metadata `names` say which class is which of the data's; without,
 *   both must have as many.
 * @param data pictures with boxes; or batches of them as they are, neither flipped nor in mosaics, which spares those who
 *   measure often the decoding.
 * @throws SecateurError INVALID_MODEL, INVALID_DATA, INVALID_OPTION, UNSUPPORTED, IO, NO_RUNTIME, RUNTIME, ABORTED.
 * @example
 * const { ap, ap50 } = await evaluateDetection('yolov4.onnx', await openDetection('coco128'));
 */
export async function evaluateDetection(
  model: string | ModelProto,
  data: DetectionDataset | DetectionBatches,
  options: EvaluateDetectionOptions = {},
): Promise<DetectionEvaluation> {
  checkKeys('option', Object.keys(options), KEYS);
  const { size, threads = 0 } = options;
  const detector = await Detector.open(size === undefined ? model : resized(model, size), { threads });
  try {
    return await measureDetector(detector, data, options);
  } finally {
    await detector.close();
  }
}

function resized(model: string | ModelProto, size: number): ModelProto {
  return withInputSize(typeof model === 'string' ? readWholeModel(model) : model, size);
}

/** The same of an open detector, which stays open. */
export async function measureDetector(
  detector: Pick<Detector, 'size' | 'classes' | 'names' | 'detect'>,
  data: DetectionDataset | DetectionBatches,
  options: Omit<EvaluateDetectionOptions, 'size' | 'threads'> = {},
): Promise<DetectionEvaluation> {
  const { batchSize = 8, scoreThreshold = 0.001, iouThreshold = 0.6, maxDetections = 100 } = options;
  const { onProgress, signal } = options;
  const { size } = detector;
  const batches =
    data instanceof DetectionBatches ? data : new DetectionBatches(data, { size, batchSize, shuffle: false });
  if (batches.size !== size) throw invalidOption('data', `batches of the detector's size, ${size}`, batches.size);
  if (batches.flip > 0 || batches.mosaic > 0)
    throw invalidOption('data', 'batches of pictures as they are', 'flips or mosaics');
  const { dataset } = batches;
  const categories = matchClasses(detector.classes, detector.names, dataset.classes);
  const metrics = new CocoMetrics(dataset.classes.length);
  let done = 0;
  for await (const batch of prefetch(batches.epoch(0))) {
    throwIfAborted(signal);
    const found = await detector.detect(batch.inputs, batch.size, { scoreThreshold, iouThreshold, maxDetections });
    addBatch(metrics, batch, { found, categories, dataset });
    done += batch.size;
    onProgress?.(done, dataset.images.length);
  }
  return {
    task: 'detection',
    pictures: done,
    size,
    ...metrics.result,
    categories: metrics.categories.map((one) => ({ name: dataset.classes[one.category] ?? '', ...one })),
  };
}

interface Found {
  found: readonly (readonly Detection[])[];
  /** Category of each of the model's classes. */
  categories: readonly number[];
  dataset: DetectionDataset;
}

function addBatch(metrics: CocoMetrics, { images }: DetectionBatch, { found, categories, dataset }: Found): void {
  for (const [row, { index, letterbox }] of images.entries()) {
    const image = dataset.images[index];
    if (image === undefined) continue;
    metrics.add(
      image,
      (found[row] ?? []).flatMap((detection) => inPicture(detection, { categories, letterbox, image })),
    );
  }
}

/** The detection in the picture's pixels; nothing where its class is none of the data's, or all of it is in the grey. */
function inPicture(
  { category, score, box }: Detection,
  {
    categories,
    letterbox,
    image,
  }: { categories: readonly number[]; letterbox: Letterbox; image: DetectionDataset['images'][number] },
): Detection[] {
  const known = categories[category] ?? -1;
  const clipped = toImage(box, letterbox, image);
  return known < 0 || areaOf(clipped) === 0 ? [] : [{ category: known, score, box: clipped }];
}
