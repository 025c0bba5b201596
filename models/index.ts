// The three architectures of the paper as ONNX models with seeded initial weights. One function: a name and options in,
// a model out. It writes no files and trains nothing.
import { GraphBuilder } from '../src/onnx/build/graph-builder.js';
import { modelOf } from '../src/onnx/build/model.js';
import type { ModelProto } from '../src/onnx/schema/onnx_pb.js';
import { LayerBuilder } from './layers.js';
import { buildLeNet5 } from './lenet5/build.js';
import { opset } from './opset.js';
import { type ModelName, type NewModelOptions, type ResolvedOptions, resolveOptions } from './options.js';
import { buildResNet } from './resnet56/build.js';
import { type FillNormal, WeightSource } from './weights.js';
import { buildYolov4 } from './yolov4/build.js';

export { type ModelName, modelNames, type NewModelOptions, optionsOf } from './options.js';

/** What is known of a model beyond its graph; becomes `metadata_props`. */
type Metadata = Record<string, string>;

const builders: Readonly<Record<ModelName, (layers: LayerBuilder, options: ResolvedOptions) => Metadata>> = {
  lenet5(layers, options) {
    buildLeNet5(layers, options);
    return { architecture: 'lenet5' };
  },
  resnet56(layers, options) {
    buildResNet(layers, options);
    return { architecture: `resnet${options.depth}` };
  },
  yolov4(layers, options) {
    const heads = buildYolov4(layers, options);
    return { architecture: options.tiny ? 'yolov4-tiny' : 'yolov4', heads: JSON.stringify(heads) };
  },
};

/**
 * Makes a model with initial weights: convolutions and fully connected layers from N(0, gain / fanIn), biases 0,
 * BatchNormalization as the identity (see `models/README.md`). The batch dimension is symbolic, `N`.
 *
 * @param fill source of normal deviates.
 * @throws SecateurError INVALID_OPTION on an unknown name or option, or a value outside its range.
 * @example
 * const model = newModel('yolov4', { size: 608, seed: 1 });
 */
export function newModel(name: ModelName, options: NewModelOptions, fill: FillNormal): ModelProto {
  const checked = resolveOptions(name, options);
  const graph = GraphBuilder.create(checked.name);
  const layers = new LayerBuilder(graph, new WeightSource(checked.options.seed, fill));
  const metadata = builders[checked.name](layers, checked.options);
  const { seed, classes } = checked.options;
  return modelOf(graph.graph, { opset, metadata: { ...metadata, classes: String(classes), seed: String(seed) } });
}
