// A trainer for detectors: the usual one, with YOLOv4's loss behind the raw heads.

import { SecateurError } from '../errors.js';
import { copyModel } from '../onnx/copy.js';
import { opsetOf } from '../onnx/opset.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { freeMoved, readWholeModel } from '../training/model-file.js';
import { Trainer, type TrainerOptions } from '../training/trainer.js';
import { type DetectionNetwork, detectionNetwork, nameClasses, withInputSize } from './heads.js';
import { type DetectionLossOptions, detectionLoss } from './loss.js';
import { setPriorBiases } from './prior.js';

export interface DetectionTrainerOptions extends Omit<TrainerOptions, 'loss' | 'lossOutput' | 'inputShapes'> {
  /** Height and width of the pictures, a multiple of the coarsest stride. @default the model's */
  size?: number;
  /** Names that the saved model has for its classes, where it had none; as many as it has classes, or they are left out. */
  classNames?: readonly string[];
  loss?: DetectionLossOptions;
}

export interface DetectionTrainer {
  readonly trainer: Trainer;
  /** What `DetectionFeeds` need to know. */
  readonly network: DetectionNetwork;
}

/**
 * Reads a detector and makes it ready to train. Heads that were never trained begin with prior biases.
 *
 * @param model an ONNX file with raw heads, or such a model in memory, which stays as it is.
 * @throws SecateurError UNSUPPORTED where its heads are not known, or without a gradient; INVALID_OPTION, INVALID_MODEL,
 *   NO_RUNTIME.
 * @example
 * const { trainer, network } = await openDetectionTrainer('yolov4-tiny.onnx', { size: 256 });
 * const batches = new DetectionBatches(await openDetection('coco128'), { size: 256, batchSize: 8 });
 * await train(trainer, new DetectionFeeds(batches, network), { epochs: 200 });
 */
export async function openDetectionTrainer(
  model: string | ModelProto,
  { size, loss, classNames, ...options }: DetectionTrainerOptions = {},
): Promise<DetectionTrainer> {
  const given = typeof model === 'string' ? readWholeModel(model) : model;
  const sized = size === undefined ? given : withInputSize(given, size);
  const found = detectionNetwork(sized);
  const names = found.names ?? (found.classes === classNames?.length ? classNames : undefined);
  const network = { ...found, names };
  const own = copyModel(sized);
  setPriorBiases(own, network);
  nameClasses(own, names);
  const trainer = await Trainer.create(own, {
    ...options,
    loss: detectionLoss(network, trainableOpset(sized), loss),
    lossOutput: network.heads[0]?.output,
  });
  if (typeof model === 'string') freeMoved(given, trainer.trainable);
  return { trainer, network };
}

/** The loss counts axes as operator set 13 does. */
function trainableOpset(model: ModelProto): number {
  const version = opsetOf(model);
  if (version >= 13) return version;
  throw new SecateurError('UNSUPPORTED', `Expected a detector of operator set 13 or later to train, got ${version}`);
}
