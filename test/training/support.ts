// Small models and data for the tests of training: an MLP and a convolutional net with BatchNormalization on drawn digits.
import { newModel } from '../../models/index.js';
import { Batches } from '../../src/data/batches.js';
import { digitsDataset } from '../../src/data/digits/dataset.js';
import { addon } from '../../src/native/addon.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';

export const CLASSES = 10;

/** Drawn digits in batches of 32. */
export function digits(split: 'train' | 'test', length: number, seed = 3): Batches {
  return new Batches(digitsDataset(split, { length }), { batchSize: 32, seed, shuffle: split === 'train' });
}

function normal(count: number, stream: number, std: number): Float32Array {
  const data = new Float32Array(count);
  addon().fillNormal(data, { seed: 7, stream, std });
  return data;
}

/** 784 - 32 - 10 with ReLU: 25,408 weights in two matrices, and two biases. */
export function mlp({ hidden = 32 } = {}): ModelProto {
  const g = GraphBuilder.create('mlp');
  const x = g.input('input', 'float32', ['N', 1, 28, 28]);
  const flat = g.op('Flatten', [x]);
  const w1 = g.initializer('fc1.weight', [784, hidden], normal(784 * hidden, 1, 0.05));
  const b1 = g.initializer('fc1.bias', [hidden], new Float32Array(hidden));
  const w2 = g.initializer('fc2.weight', [hidden, CLASSES], normal(hidden * CLASSES, 2, 0.2));
  const b2 = g.initializer('fc2.bias', [CLASSES], new Float32Array(CLASSES));
  const h = g.op('Relu', [g.op('Gemm', [flat, w1, b1])]);
  g.output(g.op('Gemm', [h, w2, b2], {}, { outputs: ['logits'] }), 'float32', ['N', CLASSES]);
  return modelOf(g.graph, { opset: 17 });
}

/** ResNet-8: convolutions, BatchNormalization, option-A shortcuts. Takes [N, 3, 32, 32]. */
export function smallResNet(): ModelProto {
  return newModel('resnet56', { depth: 8, seed: 1 }, addon().fillNormal);
}

/** y = x w, one number out: small enough to work a step by hand. */
export function linear(weights: readonly number[]): ModelProto {
  const g = GraphBuilder.create('linear');
  const x = g.input('x', 'float32', ['N', weights.length]);
  const w = g.initializer('w', [weights.length, 1], Float32Array.from(weights));
  g.output(g.op('MatMul', [x, w], {}, { outputs: ['y'] }), 'float32', ['N', 1]);
  return modelOf(g.graph, { opset: 17 });
}
