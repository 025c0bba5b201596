// YOLOv4 and YOLOv4-tiny (Bochkovskiy et al., 2020) with raw heads: decoding of boxes, losses and non-maximum
// suppression are not part of the graph.
import type { LayerBuilder } from '../layers.js';
import { cspDarknet53 } from './backbone.js';
import { type Head, headChannels, yolov4Heads, yolov4TinyHeads } from './heads.js';
import { pathAggregationNeck } from './neck.js';
import { yolov4Tiny } from './tiny.js';

export interface Yolov4Options {
  /** Height and width of the input in pixels, a multiple of 32. @default 416 */
  size: number;
  /** Number of classes, 1 or more. @default 80 */
  classes: number;
  /** Build YOLOv4-tiny. @default false */
  tiny: boolean;
}

/** Adds the network: `input` [N, 3, size, size], RGB in [0, 1], to one feature map a head. Returns the heads. */
export function buildYolov4(layers: LayerBuilder, { size, classes, tiny }: Yolov4Options): readonly Head[] {
  const { graph } = layers;
  const image = { value: graph.input('input', 'float32', ['N', 3, size, size]), channels: 3 };
  if (tiny) yolov4Tiny(layers, image, classes);
  else pathAggregationNeck(layers, cspDarknet53(layers, image), classes);
  const heads = tiny ? yolov4TinyHeads : yolov4Heads;
  for (const head of heads) {
    const cells = size / head.stride;
    graph.output(head.output, 'float32', ['N', headChannels(head, classes), cells, cells]);
  }
  return heads;
}
