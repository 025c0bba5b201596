// CSPDarknet-53, the backbone of YOLOv4: five stages that halve the resolution, each split in two branches of which one
// has residual blocks, with Mish throughout. Convolutions are made in the order of Darknet's yolov4.cfg, in which
// `.weights` files store them.
import type { Feature, LayerBuilder } from '../layers.js';

const activation = 'mish';

/** Features at strides 8, 16 and 32 with 256, 512 and 1024 channels. */
export interface BackboneFeatures {
  stride8: Feature;
  stride16: Feature;
  stride32: Feature;
}

/** The 72 convolutions from the image [N, 3, H, W] to three scales. */
export function cspDarknet53(layers: LayerBuilder, image: Feature): BackboneFeatures {
  const backbone = layers.scope('backbone');
  const stem = backbone.convBlock(image, { name: 'stem', filters: 32, kernel: 3, activation });
  const stage1 = firstStage(backbone.scope('stage1'), stem);
  const stage2 = stage(backbone.scope('stage2'), stage1, 128, 2);
  const stride8 = stage(backbone.scope('stage3'), stage2, 256, 8);
  const stride16 = stage(backbone.scope('stage4'), stride8, 512, 8);
  const stride32 = stage(backbone.scope('stage5'), stride16, 1024, 4);
  return { stride8, stride16, stride32 };
}

// The first stage keeps all 64 channels in both branches and narrows inside its one block.
function firstStage(layers: LayerBuilder, x: Feature): Feature {
  return crossStage(layers, x, { filters: 64, branch: 64, bottleneck: 32, blocks: 1 });
}

function stage(layers: LayerBuilder, x: Feature, filters: number, blocks: number): Feature {
  return crossStage(layers, x, { filters, branch: filters / 2, bottleneck: filters / 2, blocks });
}

interface StageShape {
  filters: number;
  branch: number;
  bottleneck: number;
  blocks: number;
}

function crossStage(layers: LayerBuilder, x: Feature, { filters, branch, bottleneck, blocks }: StageShape): Feature {
  const down = layers.convBlock(x, { name: 'down', filters, kernel: 3, stride: 2, activation });
  const bypass = layers.convBlock(down, { name: 'bypass', filters: branch, kernel: 1, activation });
  let main = layers.convBlock(down, { name: 'main', filters: branch, kernel: 1, activation });
  for (let index = 0; index < blocks; index++) {
    main = residualBlock(layers.scope(`block${index + 1}`), main, bottleneck, blocks);
  }
  const joined = layers.convBlock(main, { name: 'join', filters: branch, kernel: 1, activation });
  return layers.convBlock(layers.concat([joined, bypass]), { name: 'merge', filters, kernel: 1, activation });
}

function residualBlock(layers: LayerBuilder, x: Feature, bottleneck: number, blocks: number): Feature {
  const hidden = layers.convBlock(x, { name: 'conv1', filters: bottleneck, kernel: 1, activation });
  // While the running statistics are 0 and 1, BatchNormalization passes its input on, and each of the 23 blocks would
  // nearly double the second moment: the outputs for a random image have a root mean square of 1,400 to 1,800. With a
  // scale of 1 / sqrt(blocks) a stage grows it by less than e, and the outputs measure 1.1 to 1.3. The convolutions keep
  // He's weights, so a pruned tensor looks like every other; in training the scale is learned.
  const scale = 1 / Math.sqrt(blocks);
  const residual = layers.convBlock(hidden, { name: 'conv2', filters: x.channels, kernel: 3, activation, scale });
  return layers.add(x, residual);
}
