// The plan that a training thread starts with, from a loaded trainable.
import { toBinary } from '@bufbuild/protobuf';
import { accumulateGradients } from '../autodiff/accumulation.js';
import { copyModel } from '../onnx/copy.js';
import { ModelProtoSchema } from '../onnx/schema/onnx_pb.js';
import { withSilence } from '../runtime/silent.js';
import type { EnginePlan } from './engine/plan.js';
import type { LoadedTrainable } from './model-file.js';
import type { OptimizerOptions } from './optimizer.js';

export interface EngineSettings {
  readonly optimizer: OptimizerOptions;
  readonly accumulate: number;
  readonly averageDecay: number;
  readonly threads: number;
}

export function enginePlan({ trainable, store, buffers }: LoadedTrainable, settings: EngineSettings): EnginePlan {
  const { optimizer, accumulate, averageDecay, threads } = settings;
  const training = accumulate > 1 ? copyModel(trainable.training) : trainable.training;
  const accumulation = accumulate > 1 ? accumulateGradients(training, trainable.gradients) : undefined;
  return {
    training: toBinary(ModelProtoSchema, withSilence(training)),
    evaluation: toBinary(ModelProtoSchema, trainable.evaluation),
    store: store.id,
    buffersStore: buffers.id,
    parameters: trainable.parameters.map(({ name, shape }, index) => {
      return { name, shape, gradient: (accumulation?.sums ?? trainable.gradients)[index] ?? '' };
    }),
    buffers: trainable.buffers,
    ...(accumulation !== undefined && { accumulation }),
    loss: trainable.loss,
    // The trainer says the rate of every step; a function could not cross to the thread.
    optimizer: { threads, ...optimizer, learningRate: 0 },
    averageDecay,
    threads,
  };
}
