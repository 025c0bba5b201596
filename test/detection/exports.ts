// Small detectors in the layouts of two well-known exporters of YOLOv4: pytorch-YOLOv4 through torch.onnx (boxes decoded in
// the graph) and the ONNX model zoo's through tf2onnx (NHWC heads, half decoded). Names and operators are as theirs.

import { yolov4Heads } from '../../models/yolov4/heads.js';
import { GraphBuilder, type Value } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';
import { fillNormal } from '../models/support.js';

export const exported = { size: 64, classes: 2, anchors: 3 } as const;
const channels = [4, 4, 8, 8, 8] as const; // after 1, 2, ... convolutions with stride 2
const perHead = exported.anchors * (5 + exported.classes);

/** How many weights the convolutions of either model have. */
export const convolutionWeights = 27 * 4 + 9 * 4 * 4 + 9 * 4 * 8 + 2 * 9 * 8 * 8 + yolov4Heads.length * 8 * perHead;

type Convolution = (x: Value, shape: readonly number[], options: { stride: number; layer: number }) => Value;

let stream = 0;

function normal(count: number, std: number, offset = 0): Float32Array {
  const values = new Float32Array(count);
  fillNormal(values, { seed: 1, stream: stream++, std });
  return values.map((value) => value + offset);
}

/** Five convolutions with stride 2, and a 1x1 convolution on each of the last three. */
function network(image: Value, convolution: Convolution, predict: Convolution): Value[] {
  stream = 0;
  let x = image;
  const features = channels.map((filters, index) => {
    x = convolution(x, [filters, channels[index - 1] ?? 3, 3, 3], { stride: 2, layer: index });
    return x;
  });
  return features.slice(2).map((value, index) => predict(value, [perHead, 8, 1, 1], { stride: 1, layer: 5 + index }));
}

/** As `darknet2onnx.py`: outputs `boxes` [N, M, 1, 4] (corners over the size) and `confs` [N, M, classes]. */
export function pytorchExport({ folded }: { folded: boolean }): ModelProto {
  const graph = GraphBuilder.create('torch-jit-export');
  const image = graph.input('input', 'float32', ['batch_size', 3, exported.size, exported.size]);
  const conv = (
    x: Value,
    shape: readonly number[],
    { stride, layer }: { stride: number; layer: number },
    bias: boolean,
  ) => {
    const [filters = 0, , side = 1] = shape;
    const prefix = folded ? `${600 + 3 * layer}` : `models.${layer}.conv${layer + 1}.weight`;
    const weights = normal(
      shape.reduce((a, b) => a * b),
      Math.sqrt(2 / (shape[1] ?? 1) / side ** 2),
    );
    const inputs = [x, graph.initializer(prefix, shape, weights)];
    if (bias) inputs.push(graph.initializer(`${prefix}.bias`, [filters], normal(filters, 0.1)));
    const pad = side === 3 ? 1 : 0;
    return graph.op('Conv', inputs, {
      dilations: [1, 1],
      group: 1,
      kernel_shape: [side, side],
      pads: [pad, pad, pad, pad],
      strides: [stride, stride],
    });
  };
  const block: Convolution = (x, shape, options) => {
    const filters = shape[0] ?? 0;
    let y = conv(x, shape, options, folded);
    if (!folded) {
      const vector = (name: string, offset: number) =>
        graph.initializer(
          `models.${options.layer}.bn${options.layer + 1}.${name}`,
          [filters],
          normal(filters, 0.05, offset),
        );
      y = graph.op('BatchNormalization', [
        y,
        ...[vector('weight', 1), vector('bias', 0), vector('running_mean', 0), vector('running_var', 1)],
      ]);
    }
    return graph.op('Mul', [y, graph.op('Tanh', [graph.op('Softplus', [y])])]);
  };
  const heads = network(image, block, (x, shape, options) => conv(x, shape, options, true));
  const decoded = heads.map((head, index) => pytorchDecode(graph, head, index));
  const join = (values: Value[], name: string) => graph.op('Concat', values, { axis: 1 }, { outputs: [name] });
  const cells = yolov4Heads.reduce((sum, { stride }) => sum + (exported.size / stride) ** 2, 0) * exported.anchors;
  graph.output(
    join(
      decoded.map(({ boxes }) => boxes),
      'boxes',
    ),
    'float32',
    ['batch_size', cells, 1, 4],
  );
  graph.output(
    join(
      decoded.map(({ confs }) => confs),
      'confs',
    ),
    'float32',
    ['batch_size', cells, exported.classes],
  );
  return modelOf(graph.graph, { opset: 13, producerName: 'pytorch' });
}

function pytorchDecode(graph: GraphBuilder, head: Value, index: number): { boxes: Value; confs: Value } {
  const { stride, anchors, scaleXY } = yolov4Heads[index] ?? yolov4Heads[0];
  const [cells, step] = [exported.size / stride, 5 + exported.classes];
  const slice = (x: Value, begin: number, end: number) =>
    graph.op('Slice', [x, graph.int64([begin]), graph.int64([end]), graph.int64([1]), graph.int64([1])]);
  const each = (begin: number, end: number) =>
    anchors.map((_, anchor) => slice(head, anchor * step + begin, anchor * step + end));
  const concat = (values: Value[], axis: number) => graph.op('Concat', values, { axis });
  const reshape = (x: Value, dims: number[]) => graph.op('Reshape', [x, graph.int64(dims)]);
  const count = anchors.length * cells * cells;
  const confidence = graph.op('Sigmoid', [reshape(concat(each(4, 5), 1), [-1, count, 1])]);
  const classes = reshape(concat(each(5, step), 1), [-1, anchors.length, exported.classes, cells * cells]);
  const probabilities = reshape(graph.op('Transpose', [classes], { perm: [0, 1, 3, 2] }), [
    -1,
    count,
    exported.classes,
  ]);
  const confs = graph.op('Mul', [graph.op('Sigmoid', [probabilities]), confidence]);
  const coordinate = (channel: 0 | 1) => {
    const centres = each(channel, channel + 1).map((x) => {
      const grid = Float32Array.from({ length: cells * cells }, (_, cell) =>
        channel === 0 ? cell % cells : Math.floor(cell / cells),
      );
      const scaled = graph.op('Mul', [graph.op('Sigmoid', [x]), graph.float32(scaleXY)]);
      const centred = graph.op('Sub', [scaled, graph.float32(0.5 * (scaleXY - 1))]);
      return graph.op('Add', [centred, graph.constant([1, 1, cells, cells], grid)]);
    });
    const sides = each(channel + 2, channel + 3).map((x, anchor) =>
      graph.op('Mul', [graph.op('Exp', [x]), graph.float32((anchors[anchor]?.[channel] ?? 0) / stride)]),
    );
    const both = [concat(centres, 1), concat(sides, 1)].map((x) =>
      reshape(graph.op('Div', [x, graph.float32(cells)]), [-1, count, 1]),
    ) as [Value, Value];
    const first = graph.op('Sub', [both[0], graph.op('Mul', [both[1], graph.float32(0.5)])]);
    return [first, graph.op('Add', [first, both[1]])] as const;
  };
  const [[left, right], [top, bottom]] = [coordinate(0), coordinate(1)];
  return { boxes: reshape(concat([left, top, right, bottom], 2), [-1, count, 1, 4]), confs };
}

/**
 * As the model zoo's yolov4.onnx: input [N, size, size, 3], outputs `Identity:0`, `Identity_1:0`, `Identity_2:0`
 * [N, cells, cells, 3, 5 + classes] with objectness and classes already through a sigmoid.
 */
export function zooExport(): ModelProto {
  const graph = GraphBuilder.create('tf2onnx');
  const image = graph.input('input_1:0', 'float32', ['unk__1', exported.size, exported.size, 3]);
  const place = 'StatefulPartitionedCall/functional_1';
  const conv: Convolution = (x, shape, { stride, layer }) => {
    const [filters = 0, , side = 1] = shape;
    const weights = normal(
      shape.reduce((a, b) => a * b),
      Math.sqrt(2 / (shape[1] ?? 1) / side ** 2),
    );
    const inputs = [x, graph.initializer(`${place}/conv2d_${layer}/Conv2D/ReadVariableOp:0`, shape, weights)];
    if (stride === 1)
      inputs.push(graph.initializer(`${place}/conv2d_${layer}/BiasAdd:0`, [filters], normal(filters, 0.1)));
    const pads = stride === 2 ? [1, 1, 0, 0] : [0, 0, 0, 0];
    return graph.op('Conv', inputs, { kernel_shape: [side, side], strides: [stride, stride], pads });
  };
  const block: Convolution = (x, shape, options) => {
    const vector = (name: string, offset: number) => {
      const filters = shape[0] ?? 0;
      return graph.initializer(
        `${place}/batch_normalization_${options.layer}/${name}:0`,
        [filters],
        normal(filters, 0.05, offset),
      );
    };
    const norm = [vector('gamma', 1), vector('beta', 0), vector('moving_mean', 0), vector('moving_variance', 1)];
    const y = graph.op('BatchNormalization', [conv(x, shape, options), ...norm]);
    return graph.op('Mul', [y, graph.op('Tanh', [graph.op('Softplus', [y])])]);
  };
  const nchw = graph.op('Transpose', [image], { perm: [0, 3, 1, 2] });
  for (const [index, head] of network(nchw, block, conv).entries()) {
    const cells = exported.size / (yolov4Heads[index]?.stride ?? 1);
    const nhwc = graph.op('Transpose', [head], { perm: [0, 2, 3, 1] });
    const dims = [-1, cells, cells, exported.anchors, 5 + exported.classes];
    const boxes = graph.op('Reshape', [nhwc, graph.int64(dims)]);
    const [raw, confidence, classes] = graph.ops('Split', [boxes, graph.int64([4, 1, exported.classes])], 3, {
      axis: 4,
    });
    const parts = [raw ?? '', graph.op('Sigmoid', [confidence ?? '']), graph.op('Sigmoid', [classes ?? ''])];
    const name = index === 0 ? 'Identity:0' : `Identity_${index}:0`;
    graph.op('Identity', [graph.op('Concat', parts, { axis: 4 })], {}, { outputs: [name] });
    graph.output(name, 'float32', ['unk__1', ...dims.slice(1)]);
  }
  return modelOf(graph.graph, { opset: 13, producerName: 'tf2onnx' });
}
