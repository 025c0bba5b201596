// What crosses from the trainer to the thread that trains: the plan at the start, then one request at a time. Plain data;
// parameters lie in stores that both threads open.
import type { FeedTensor } from '../../data/feeds.js';
import type { OptimizerOptions } from '../optimizer.js';

/** A parameter in the order of the store. */
export interface PlannedParameter {
  readonly name: string;
  readonly shape: readonly number[];
  /** The output of the training graph that is its gradient. */
  readonly gradient: string;
}

/** A tensor that a step updates outside the optimizer: a running statistic. */
export interface PlannedBuffer {
  readonly name: string;
  readonly shape: readonly number[];
  /** The output of the training graph that is its next value; undefined where it never changes. */
  readonly next: string | undefined;
}

/** Inputs of a training graph that adds gradients up over several batches (ONNX Runtime's artifacts). */
export interface PlannedAccumulation {
  /** bool [1]: overwrite the gradients instead of adding to them. */
  readonly reset: string;
  /** The gradients so far, one input a parameter. */
  readonly buffers: readonly string[];
}

export interface EnginePlan {
  readonly training: Uint8Array;
  readonly evaluation: Uint8Array;
  /** Ids of the stores of parameters and of buffers. */
  readonly store: number;
  readonly buffersStore: number;
  readonly parameters: readonly PlannedParameter[];
  readonly buffers: readonly PlannedBuffer[];
  readonly accumulation?: PlannedAccumulation;
  readonly loss: string;
  readonly optimizer: OptimizerOptions;
  /** Decay of the moving average of parameters; 0: none is kept. */
  readonly averageDecay: number;
  /** Threads of the runtime; 0: all cores. */
  readonly threads: number;
}

export type EngineFeeds = Readonly<Record<string, FeedTensor>>;

export interface StepRequest {
  readonly feeds: EngineFeeds;
  readonly learningRate: number;
  /** Weight of the ADMM pull. */
  readonly rho: number;
  /** Factor on gradients: 1 / n after n batches. */
  readonly gradientScale: number;
  /** Overwrite the gradients (the first batch of a step), or add to them. */
  readonly reset: boolean;
  /** Take a step of the optimizer after this batch. */
  readonly apply: boolean;
}

export interface StepResult {
  readonly loss: number;
  /** Over all tensors, before clipping; NaN where no step was taken. */
  readonly gradientNorm: number;
  /** False: loss or gradient is not finite, and nothing was changed. */
  readonly applied: boolean;
  /** Milliseconds of the whole request, and of those inside the runtime. */
  readonly totalMs: number;
  readonly runtimeMs: number;
}

export interface EvaluationRequest {
  readonly feeds: EngineFeeds;
  /** Outputs wanted besides the loss. */
  readonly outputs: readonly string[];
  /** Which parameters: as they are, or their moving average. */
  readonly weights: 'current' | 'average';
}

export interface EvaluationResult {
  readonly loss: number;
  readonly outputs: Readonly<Record<string, FeedTensor>>;
}

/** Requests by name, as the engine's methods take them. */
export interface EngineCalls {
  step: (request: StepRequest) => Promise<StepResult>;
  evaluate: (request: EvaluationRequest) => Promise<EvaluationResult>;
  steps: () => Promise<number>;
  setSteps: (steps: number) => Promise<void>;
  close: () => Promise<void>;
}
