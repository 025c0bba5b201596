// LeNet-5 as Caffe has it, the form that the pruning literature measures: two convolutions with biases, max pooling,
// and ReLU only between the two fully connected layers. The data, the loss and the recipe are elsewhere.
import type { LayerBuilder } from '../layers.js';

export interface LeNet5Options {
  /** Number of classes, 1 or more. @default 10 */
  classes: number;
}

/** Adds the network: `input` [N, 1, 28, 28], pixels in [0, 1], to `logits` [N, classes]. */
export function buildLeNet5(layers: LayerBuilder, { classes }: LeNet5Options): void {
  const { graph } = layers;
  const input = { value: graph.input('input', 'float32', ['N', 1, 28, 28]), channels: 1 };
  const conv1 = layers.conv(input, { name: 'conv1', filters: 20, kernel: 5, pad: 0, bias: true }); // [N, 20, 24, 24]
  const pool1 = layers.maxPool(conv1, 2, 2); // [N, 20, 12, 12]
  const conv2 = layers.conv(pool1, { name: 'conv2', filters: 50, kernel: 5, pad: 0, bias: true }); // [N, 50, 8, 8]
  const pool2 = layers.maxPool(conv2, 2, 2); // [N, 50, 4, 4]
  const flat = { value: graph.op('Flatten', [pool2.value], { axis: 1 }), channels: 50 * 4 * 4 };
  const fc1 = layers.linear(flat, { name: 'fc1', outputs: 500, activation: 'relu' });
  const logits = layers.linear(layers.activate(fc1, 'relu'), { name: 'fc2', outputs: classes, output: 'logits' });
  graph.output(logits.value, 'float32', ['N', classes]);
}
