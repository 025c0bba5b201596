// Where values of a window are equal, exactly one of them gets the whole gradient of MaxPool.
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { open, probe } from './support.js';

test.each([
  ['halving', [2, 2]],
  ['by indices', [1, 2]],
])('%s', async (_, kernel) => {
  const g = GraphBuilder.create('ties');
  g.op('MaxPool', [g.input('x', 'float32', [2, 1, 4, 4])], { kernel_shape: kernel, strides: kernel }, { name: 'y' });
  g.op('ReduceSum', ['y'], { keepdims: 0 }, { name: 'total' });
  const model = modelOf(g.graph, { opset: 17 });
  const feeds = { x: new Tensor('float32', new Float32Array(32).fill(0.5), [2, 1, 4, 4]) };
  const shapes = await probe(model, feeds);
  const training = buildTrainingGraph(model, { loss: 'total', wrt: ['x'], shapes });
  const session = await open(training.model);
  const results = await session.run(feeds);
  await session.release();
  const windows = 32 / ((kernel[0] ?? 1) * (kernel[1] ?? 1));
  const values = [...(results['x_grad']!.data as Float32Array)];
  expect(values.filter((value) => value === 1)).toHaveLength(windows);
  expect(values.filter((value) => value === 0)).toHaveLength(32 - windows);
});
