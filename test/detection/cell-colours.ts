// A detector that can be followed by hand: 64 x 64 pixels, one head of 2 x 2 cells with a box of 32 x 32 in each. A cell
// holds an object where its red is high; it is "yellow" where green is high too, else "red".

import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';

const CELL = 32 * 32;
/** For each channel of the head: bias, and weights of the cell's mean red, green and blue. */
const CHANNELS = [
  [0, 0, 0, 0], // centre
  [0, 0, 0, 0],
  [0, 0, 0, 0], // size over the anchor's, logarithm
  [0, 0, 0, 0],
  [-10, 20, 0, 0], // object
  [10, 0, -20, 0], // red
  [-10, 0, 20, 0], // yellow
] as const;

export function cellColours(names: readonly string[] | undefined = ['red', 'yellow']): ModelProto {
  const graph = GraphBuilder.create('cell-colours');
  const input = graph.input('input', 'float32', ['N', 3, 64, 64]);
  const weights = CHANNELS.flatMap(([, ...colours]) =>
    colours.flatMap((weight) => Array.from({ length: CELL }, () => weight / CELL)),
  );
  const head = graph.op(
    'Conv',
    [
      input,
      graph.initializer('weight', [CHANNELS.length, 3, 32, 32], Float32Array.from(weights)),
      graph.initializer(
        'bias',
        [CHANNELS.length],
        Float32Array.from(CHANNELS, ([bias]) => bias),
      ),
    ],
    { strides: [32, 32], kernel_shape: [32, 32] },
    { outputs: ['stride32'] },
  );
  graph.output(head, 'float32', ['N', CHANNELS.length, 2, 2]);
  const heads = JSON.stringify([{ output: head, stride: 32, anchors: [[32, 32]], scaleXY: 1 }]);
  return modelOf(graph.graph, { opset: 17, metadata: { heads, ...(names && { names: JSON.stringify(names) }) } });
}
