// A network small enough to check by hand, labels for it, and the loss over its raw heads as a model to run.
import { Tensor } from 'onnxruntime-node';
import { appendLoss } from '../../src/autodiff/losses.js';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import type { BoxLabel } from '../../src/data/detection/dataset.js';
import type { Feeds as TargetFeeds } from '../../src/data/feeds.js';
import type { DetectionNetwork } from '../../src/detection/heads.js';
import { type DetectionLossOptions, detectionLoss } from '../../src/detection/loss.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { type Feeds, open, probe } from '../autodiff/support.js';

/** 32 x 32 pixels, two heads with a cell of 8 and 16 pixels and two anchors each, three classes: 40 predictions. */
export const network: DetectionNetwork = {
  input: 'input',
  size: 32,
  classes: 3,
  heads: [
    {
      output: 'fine',
      stride: 8,
      anchors: [
        [4, 4],
        [8, 6],
      ],
      scaleXY: 1.2,
    },
    {
      output: 'coarse',
      stride: 16,
      anchors: [
        [16, 12],
        [24, 30],
      ],
      scaleXY: 1.05,
    },
  ],
};

export function label(category: number, box: BoxLabel['box'], crowd = false): BoxLabel {
  return { category, box, crowd, area: box[2] * box[3] };
}

export function tensorsOf(feeds: TargetFeeds): Feeds {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { data, dims }]) => {
      const type = data instanceof BigInt64Array ? 'int64' : 'float32';
      return [name, new Tensor(type, data as Float32Array, [...dims])];
    }),
  );
}

/** Raw heads as inputs, the loss and its gradients with respect to them as outputs. */
export async function lossModel(options: DetectionLossOptions, feeds: Feeds, opset = 17) {
  const g = GraphBuilder.create('raw');
  for (const { output, anchors, stride } of network.heads) {
    const dims = ['N', anchors.length * 8, network.size / stride, network.size / stride];
    const raw = g.input(`${output}.raw`, 'float32', dims);
    g.output(g.op('Identity', [raw], {}, { outputs: [output] }), 'float32', dims);
  }
  const model = modelOf(g.graph, { opset });
  const { loss, constants } = appendLoss(model, { output: 'fine', loss: detectionLoss(network, opset, options) });
  const shapes = await probe(model, feeds);
  const wrt = network.heads.map(({ output }) => `${output}.raw`);
  const { model: training } = buildTrainingGraph(model, { loss, wrt, shapes, constants });
  return { loss, session: await open(training) };
}
