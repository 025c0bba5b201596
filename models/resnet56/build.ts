// ResNet for CIFAR-10 (He et al., 2015, "Deep residual learning for image recognition", section 4.2): 6n + 2 layers in
// three stages of n basic blocks with 16, 32 and 64 channels, and shortcuts without parameters (option A).
import type { Feature, LayerBuilder } from '../layers.js';

export interface ResNetOptions {
  /** Number of layers with weights, 6n + 2: 20, 32, 44, 56, 110, ... @default 56 */
  depth: number;
  /** Number of classes, 1 or more. @default 10 */
  classes: number;
}

const stages = [
  { name: 'stage1', filters: 16, stride: 1 },
  { name: 'stage2', filters: 32, stride: 2 },
  { name: 'stage3', filters: 64, stride: 2 },
] as const;

/** Adds the network: `input` [N, 3, 32, 32], normalised pixels, to `logits` [N, classes]. */
export function buildResNet(layers: LayerBuilder, { depth, classes }: ResNetOptions): void {
  const { graph } = layers;
  const blocks = (depth - 2) / 6;
  const input = { value: graph.input('input', 'float32', ['N', 3, 32, 32]), channels: 3 };
  let x = layers.convBlock(input, { name: 'conv', filters: 16, kernel: 3, activation: 'relu' });
  for (const { name, filters, stride } of stages) {
    for (let index = 0; index < blocks; index++) {
      const block = layers.scope(name).scope(`block${index + 1}`);
      x = basicBlock(block, x, filters, index === 0 ? stride : 1, blocks);
    }
  }
  const pooled = { ...x, value: graph.op('GlobalAveragePool', [x.value]) }; // [N, 64, 1, 1]
  const flat = { ...pooled, value: graph.op('Flatten', [pooled.value], { axis: 1 }) };
  const logits = layers.linear(flat, { name: 'fc', outputs: classes, output: 'logits' });
  graph.output(logits.value, 'float32', ['N', classes]);
}

// y = relu(shortcut(x) + norm2(conv2(relu(norm1(conv1(x))))))
function basicBlock(layers: LayerBuilder, x: Feature, filters: number, stride: number, blocks: number): Feature {
  const hidden = layers.convBlock(x, { name: 'conv1', filters, kernel: 3, stride, activation: 'relu' });
  // Each of the n blocks adds 1/n of the second moment, so that a stage grows it by less than e instead of 2^n while the
  // running statistics are still 0 and 1: the logits of a random image measure 1.2 instead of 280 (root mean square, 56
  // layers). In training the batch statistics take over and the scale is learned.
  const scale = 1 / Math.sqrt(blocks);
  const residual = layers.convBlock(hidden, { name: 'conv2', filters, kernel: 3, scale });
  const shortcut = stride === 1 ? x : subsample(layers, x, filters, stride);
  return layers.activate(layers.add(residual, shortcut), 'relu');
}

// Option A: every second row and column, and zeros for the new channels.
function subsample(layers: LayerBuilder, x: Feature, filters: number, stride: number): Feature {
  const shortcut = layers.scope('shortcut').graph;
  const end = 2 ** 31 - 1; // the end of the axis: Slice clamps it
  const sliced = shortcut.op('Slice', [
    x.value,
    shortcut.int64([0, 0]),
    shortcut.int64([end, end]),
    shortcut.int64([2, 3]),
    shortcut.int64([stride, stride]),
  ]);
  const added = filters - x.channels;
  const pads = shortcut.int64([0, 0, 0, 0, 0, added, 0, 0]);
  return { value: shortcut.op('Pad', [sliced, pads], { mode: 'constant' }), channels: filters };
}
