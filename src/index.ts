// The public surface of the package, on one screen.

export { type CompactOptions, type CompactReport, compact } from './compact/compact.js';
export type { Comparison, Latency } from './compact/compare.js';
export type { ModelSize } from './compact/describe.js';
export type { Channels, CompactedLayer, LeftChannels } from './compact/layers.js';
export { randomCrop, randomFlip } from './data/augment.js';
export { parseAugmentations } from './data/augmentation-words.js';
export type { Augmentation, Batch, BatchOptions, BatchPosition } from './data/batches.js';
export { Batches } from './data/batches.js';
export type { DataOptions, Dataset, Labels, Normalization, Split } from './data/dataset.js';
export { type DetectionBatch, DetectionBatches, type DetectionBatchOptions } from './data/detection/batches.js';
export type { Box } from './data/detection/boxes.js';
export type { BoxLabel, DetectionDataset, DetectionImage } from './data/detection/dataset.js';
export { type Letterbox, loadLetterboxed, toImage } from './data/detection/letterbox.js';
export { openDetection, openDetectionParts } from './data/detection/open.js';
export type { FeedData, FeedSource, Feeds, FeedTensor } from './data/feeds.js';
export { openDataset } from './data/open.js';
export { type DetectOptions, Detector, type DetectorOptions } from './detection/detector.js';
export { type DetectionEvaluation, type EvaluateDetectionOptions, evaluateDetection } from './detection/evaluate.js';
export { DetectionFeeds } from './detection/feeds.js';
export type { DetectionLossOptions } from './detection/loss.js';
export type { Detection } from './detection/nms.js';
export type { TargetOptions } from './detection/targets.js';
export { type DetectionTrainer, type DetectionTrainerOptions, openDetectionTrainer } from './detection/trainer.js';
export { isSecateurError, SecateurError, type SecateurErrorCode, type SecateurErrorFields } from './errors.js';
export { type CategoryMetrics, CocoMetrics, type DetectionMetrics, type ScoredBox } from './metrics/coco.js';
export type { Backend, DType, Scope } from './native/contract.js';
export type { MacTotals } from './onnx/macs.js';
export type { PackedValues, PackFormat, PackOptions, UnpackOptions } from './pack/options.js';
export { pack } from './pack/pack.js';
export type { PackedTensor, PackReport, TensorEncoding, UnpackReport } from './pack/report.js';
export { type ModelSizes, modelSizes, type SizeOptions } from './pack/sizes.js';
export { unpack } from './pack/unpack.js';
export { DeviceTensors } from './prune/device-tensors.js';
export type { Granularity } from './prune/granularity.js';
export { type InspectOptions, inspect } from './prune/inspect.js';
export type { Progress } from './prune/options.js';
export type { Skipped } from './prune/prunable.js';
export { type PruneOptions, prune } from './prune/prune.js';
export type { FollowingVector, InspectedTensor, InspectReport, PrunedTensor, PruneReport } from './prune/report.js';
export {
  applySelection,
  globalThreshold,
  packMasks,
  type Selection,
  type SelectOptions,
  selectRatios,
  type WeightArray,
  type WeightTensor,
} from './prune/select.js';
export { accuracyChart, type ChartOptions } from './sweep/charts/accuracy.js';
export { layerChart } from './sweep/charts/layers.js';
export type { SweepSettings } from './sweep/folder.js';
export type { EvaluationCall, Evaluator, SweepOptions, SweepProgress } from './sweep/options.js';
export { type Metrics, mainMetric, type SweepLayer, type SweepPoint, type SweepReport } from './sweep/report.js';
export { type SweepMethod, type SweepPlace, type SweepSeries, seriesLabels } from './sweep/series.js';
export { sweep } from './sweep/sweep.js';
export { layerTable, pointTable } from './sweep/tables.js';
export type { SweepTraining } from './sweep/training.js';
export { type LoadArtifactsOptions, type LoadedArtifacts, loadArtifacts } from './training/artifacts/load.js';
export type { ArtifactOptimizer } from './training/artifacts/optimizer-model.js';
export type { ArtifactPaths } from './training/artifacts/paths.js';
export { type SaveCheckpointOptions, saveCheckpoint } from './training/artifacts/save-checkpoint.js';
export { type ArtifactTrainerOptions, openArtifacts } from './training/artifacts/trainer.js';
export {
  type ArtifactParameter,
  type ArtifactsReport,
  type WriteArtifactsOptions,
  writeArtifacts,
} from './training/artifacts/write.js';
export {
  type InputSource,
  type RecalibrateOptions,
  type Recalibration,
  recalibrateBatchNorm,
} from './training/batch-norm/recalibrate.js';
export type { BatchSource } from './training/batch-source.js';
export type { Loss } from './training/evaluable.js';
export { type EvaluateModelOptions, evaluate } from './training/evaluate.js';
export type { Evaluation } from './training/evaluation.js';
export { type GradientReport, type WriteGradientOptions, writeGradient } from './training/gradient-model.js';
export { type AdmmOptions, admm } from './training/methods/admm.js';
export { type MagnitudeOptions, magnitude } from './training/methods/magnitude.js';
export type { DataRate } from './training/methods/phases.js';
export type { MethodReport, TensorReport } from './training/methods/report.js';
export type { Measurement, RunOptions, RunProgress } from './training/methods/run.js';
export { type TrainOptions, train } from './training/methods/train.js';
export type { AdamOptions, OptimizerOptions, SgdOptions } from './training/optimizer.js';
export type { ParameterFilters } from './training/parameters.js';
export type { PhaseRate } from './training/phase-rate.js';
export type { InputShapes } from './training/probe.js';
export { restoreState, saveState } from './training/state.js';
export { type FitOptions, type Step, Trainer, type TrainerOptions } from './training/trainer.js';
