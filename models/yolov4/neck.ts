// The neck of YOLOv4: spatial pyramid pooling, then a path aggregation network (top-down and bottom-up) with LeakyReLU,
// and the three heads. Convolutions are made in the order of Darknet's yolov4.cfg.
import type { Feature, LayerBuilder } from '../layers.js';
import type { BackboneFeatures } from './backbone.js';
import { type Head, headChannels, yolov4Heads } from './heads.js';

const activation = 'leakyRelu';

/** Adds neck and heads: 38 convolutions, the last of each head with a bias. */
export function pathAggregationNeck(layers: LayerBuilder, backbone: BackboneFeatures, classes: number): void {
  const neck = layers.scope('neck');
  const [head8, head16, head32] = yolov4Heads;
  const coarse = spatialPyramid(neck.scope('spp'), backbone.stride32);
  const medium = topDown(neck.scope('top_down16'), coarse, backbone.stride16);
  const fine = topDown(neck.scope('top_down8'), medium, backbone.stride8);
  detectionHead(layers.scope('head8'), fine, { head: head8, hidden: 256, classes });
  const mediumUp = bottomUp(neck.scope('bottom_up16'), fine, medium);
  detectionHead(layers.scope('head16'), mediumUp, { head: head16, hidden: 512, classes });
  const coarseUp = bottomUp(neck.scope('bottom_up32'), mediumUp, coarse);
  detectionHead(layers.scope('head32'), coarseUp, { head: head32, hidden: 1024, classes });
}

export interface DetectionHeadOptions {
  head: Head;
  /** Channels of the 3x3 convolution before the prediction. */
  hidden: number;
  classes: number;
}

/** A 3x3 convolution, then the linear 1x1 convolution whose output is the graph output of the head. */
export function detectionHead(layers: LayerBuilder, x: Feature, { head, hidden, classes }: DetectionHeadOptions): void {
  const features = layers.convBlock(x, { name: 'conv', filters: hidden, kernel: 3, activation });
  const filters = headChannels(head, classes);
  layers.conv(features, { name: 'predict', filters, kernel: 1, bias: true, output: head.output });
}

// Max pooling over 13, 9 and 5 cells beside the features themselves; made in the order of the cfg, smallest first.
function spatialPyramid(layers: LayerBuilder, x: Feature): Feature {
  const before = alternating(layers.scope('before'), x, 512, 3);
  const pooled = [5, 9, 13].map((kernel) => layers.maxPool(before, kernel, 1, (kernel - 1) / 2));
  return alternating(layers.scope('after'), layers.concat([...pooled.toReversed(), before]), 512, 3);
}

// Half the channels at twice the resolution, joined with the backbone's features of that resolution.
function topDown(layers: LayerBuilder, coarse: Feature, lateral: Feature): Feature {
  const filters = coarse.channels / 2;
  const reduced = layers.convBlock(coarse, { name: 'reduce', filters, kernel: 1, activation });
  const upsampled = layers.upsample(reduced, 2);
  const beside = layers.convBlock(lateral, { name: 'lateral', filters, kernel: 1, activation });
  return alternating(layers, layers.concat([beside, upsampled]), filters, 5);
}

// Twice the channels at half the resolution, joined with the features of the way down.
function bottomUp(layers: LayerBuilder, fine: Feature, lateral: Feature): Feature {
  const filters = 2 * fine.channels;
  const down = layers.convBlock(fine, { name: 'down', filters, kernel: 3, stride: 2, activation });
  return alternating(layers, layers.concat([down, lateral]), filters, 5);
}

// `count` convolutions, odd ones 1x1 to `filters` channels, even ones 3x3 to twice as many.
function alternating(layers: LayerBuilder, x: Feature, filters: number, count: number): Feature {
  let feature = x;
  for (let index = 1; index <= count; index++) {
    const shape = index % 2 === 1 ? { filters, kernel: 1 } : { filters: 2 * filters, kernel: 3 };
    feature = layers.convBlock(feature, { name: `conv${index}`, ...shape, activation });
  }
  return feature;
}
