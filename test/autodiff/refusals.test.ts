// What has no gradient is refused by name, before anything runs.

import { create } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { GraphProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { type Case, forwardOf, noise, open, probe } from './support.js';

const gather = { rest: [{ int64: [0, 1] }], opset: 15 };
const refused: [string, Case][] = [
  ['opset 16 or later for the gradient of Gather (y)', { op: 'Gather', shapes: [[3, 2]], ...gather }],
  ['toTrainingMode raises it', { op: 'GatherND', shapes: [[3, 2]], ...gather }],
  [
    'opset 16 or later for the gradient of MaxPool (y), whose windows overlap, got 13',
    { op: 'MaxPool', shapes: [[2, 1, 5]], attributes: { kernel_shape: [3] }, opset: 13 },
  ],
  [
    'Expected MaxPool y to have storage_order 0',
    { op: 'MaxPool', shapes: [[2, 1, 5, 5]], attributes: { kernel_shape: [3, 3], storage_order: 1 } },
  ],
  [
    'Expected Resize y to stretch the whole image, got tf_crop_and_resize',
    {
      ...{
        op: 'Resize',
        shapes: [[2, 1, 4, 4]],
        rest: [{ float32: [0, 0, 0, 0, 1, 1, 0.5, 0.5] }, { float32: [1, 1, 2, 2] }],
      },
      attributes: { coordinate_transformation_mode: 'tf_crop_and_resize', mode: 'linear' },
    },
  ],
  [
    'Expected Resize y to stretch the whole image, got not_larger',
    {
      ...{ op: 'Resize', shapes: [[2, 1, 4, 4]], rest: [null, null, { int64: [6, 8] }], opset: 18 },
      attributes: { keep_aspect_ratio_policy: 'not_larger', axes: [2, 3] },
    },
  ],
  [
    'Expected the value that Pad y fills in not to be trained',
    { op: 'Pad', shapes: [[2, 3], []], integers: [[0, 1, 0, 0]], order: [0, 2, 1] },
  ],
  // Its indices and depth carry nothing, but its two values do.
  [
    'Expected operators that have a gradient, got OneHot (y)',
    { op: 'OneHot', shapes: [[2]], rest: [{ int64: [1, 0] }, { int64: 3 }], order: [1, 2, 0] },
  ],
  [
    'Expected FusedMatMul y to have matrices and no transBatch',
    {
      op: 'FusedMatMul',
      shapes: [
        [3, 2, 4],
        [2, 4, 3],
      ],
      attributes: { transBatchA: 1 },
      domain: 'com.microsoft',
    },
  ],
];

test.each(refused)('%s', async (message, item) => {
  const { g, model, feeds, names, used } = forwardOf(item);
  const loss = g.op('ReduceSum', used, { keepdims: 0 });
  const shapes = await probe(model, feeds);
  expect(() => buildTrainingGraph(model, { loss, wrt: names, shapes })).toThrow(message);
});

test('a feed of other sizes than the gradients were made for is refused by the runtime', async () => {
  const g = GraphBuilder.create('open');
  const x = g.input('x', 'float32', ['N', 2, 'H', 'W']);
  const loss = g.op('ReduceSum', [g.op('GlobalAveragePool', [x])], { keepdims: 0 });
  const model = modelOf(g.graph, { opset: 17 });
  const images = (dims: number[]) =>
    new Tensor(
      'float32',
      noise(
        dims.reduce((a, b) => a * b, 1),
        1,
      ),
      dims,
    );
  const shapes = await probe(model, { x: images([2, 2, 4, 4]) });
  const session = await open(buildTrainingGraph(model, { loss, wrt: [x], shapes }).model);
  const run = await session.run({ x: images([3, 2, 4, 4]) });
  expect(run['x_grad']!.dims).toEqual([3, 2, 4, 4]);
  await expect(session.run({ x: images([3, 2, 6, 4]) })).rejects.toThrow(/invalid dimensions for input: x/i);
});

test('operator sets before 17 get no LayerNormalization, which they do not have', async () => {
  for (const [opset, wanted] of [
    [16, false],
    [17, true],
  ] as const) {
    const item = { op: 'InstanceNormalization', shapes: [[2, 3, 4], [3], [3]], opset };
    const { g, model, feeds, names, used } = forwardOf(item);
    const loss = g.op('ReduceSum', used, { keepdims: 0 });
    const training = buildTrainingGraph(model, { loss, wrt: names, shapes: await probe(model, feeds) }).model;
    expect(training.graph!.node.some(({ opType }) => opType === 'LayerNormalization')).toBe(wanted);
  }
});

test('a subgraph that reads a target on the way to the loss is refused, and one beside it is not', async () => {
  const g = GraphBuilder.create('branches');
  const x = g.input('x', 'float32', [2]);
  const branch = (factor: number, name: string) => {
    const inner = GraphBuilder.extend(create(GraphProtoSchema, { name }));
    inner.output(inner.op('Mul', [x, inner.float32(factor)], {}, { name }), 'float32', [2]);
    return inner.graph;
  };
  const yes = g.op('Cast', [g.int64(1)], { to: 9 });
  const y = g.op('If', [yes], { then_branch: branch(2, 'a'), else_branch: branch(3, 'b') }, { name: 'choice' });
  const through = g.op('ReduceSum', [y], { keepdims: 0 });
  const beside = g.op('ReduceSum', [x], { keepdims: 0 });
  const model = modelOf(g.graph, { opset: 17 });
  const shapes = await probe(model, { x: new Tensor('float32', Float32Array.of(1, 2), [2]) });
  expect(() => buildTrainingGraph(model, { loss: through, wrt: [x], shapes })).toThrow('got If (choice)');
  expect(() => buildTrainingGraph(model, { loss: beside, wrt: [x], shapes })).not.toThrow();
});
