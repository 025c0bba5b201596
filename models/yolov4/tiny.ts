// YOLOv4-tiny: CSPDarknet53-tiny with LeakyReLU and two heads, 21 convolutions. They are made in the order of Darknet's
// yolov4-tiny.cfg.
import type { Feature, LayerBuilder } from '../layers.js';
import { yolov4TinyHeads } from './heads.js';
import { detectionHead } from './neck.js';

const activation = 'leakyRelu';

/** Adds the network from the image [N, 3, H, W] to the outputs of the two heads. */
export function yolov4Tiny(layers: LayerBuilder, image: Feature, classes: number): void {
  const backbone = layers.scope('backbone');
  const stem1 = backbone.convBlock(image, { name: 'stem1', filters: 32, kernel: 3, stride: 2, activation });
  const stem2 = backbone.convBlock(stem1, { name: 'stem2', filters: 64, kernel: 3, stride: 2, activation });
  const stage1 = splitStage(backbone.scope('stage1'), stem2, 64);
  const stage2 = splitStage(backbone.scope('stage2'), stage1.pooled, 128);
  const stage3 = splitStage(backbone.scope('stage3'), stage2.pooled, 256);
  const last = backbone.convBlock(stage3.pooled, { name: 'last', filters: 512, kernel: 3, activation });

  const neck = layers.scope('neck');
  const [head16, head32] = yolov4TinyHeads;
  const coarse = neck.convBlock(last, { name: 'coarse', filters: 256, kernel: 1, activation });
  detectionHead(layers.scope('head32'), coarse, { head: head32, hidden: 512, classes });
  const reduced = neck.convBlock(coarse, { name: 'reduce', filters: 128, kernel: 1, activation });
  const joined = neck.concat([neck.upsample(reduced, 2), stage3.merged]);
  detectionHead(layers.scope('head16'), joined, { head: head16, hidden: 256, classes });
}

// A block of which only the second half of the channels goes through the inner convolutions. `merged` is the last
// convolution, at the stage's resolution; `pooled` is the stage's output at half of it.
function splitStage(layers: LayerBuilder, x: Feature, filters: number): { merged: Feature; pooled: Feature } {
  const whole = layers.convBlock(x, { name: 'whole', filters, kernel: 3, activation });
  const half = layers.channelRange(whole, filters / 2, filters); // Darknet: route with groups=2, group_id=1
  const inner1 = layers.convBlock(half, { name: 'inner1', filters: filters / 2, kernel: 3, activation });
  const inner2 = layers.convBlock(inner1, { name: 'inner2', filters: filters / 2, kernel: 3, activation });
  const inner = layers.concat([inner2, inner1]);
  const merged = layers.convBlock(inner, { name: 'merge', filters, kernel: 1, activation });
  return { merged, pooled: layers.maxPool(layers.concat([whole, merged]), 2, 2) };
}
