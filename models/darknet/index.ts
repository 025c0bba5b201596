// A network of Darknet (AlexeyAB/darknet) as an ONNX model: its .cfg says the layers, its .weights the numbers. Reads the
// layers of YOLOv3 and YOLOv4; writes no files.
import { readFileSync } from 'node:fs';
import { invalidOption } from '../../src/errors.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { ioError } from '../../src/onnx/file-source.js';
import type { GraphProto, ModelProto } from '../../src/onnx/schema/onnx_pb.js';
import { LayerBuilder } from '../layers.js';
import { opset } from '../opset.js';
import { WeightSource } from '../weights.js';
import { buildYolov4 } from '../yolov4/build.js';
import { parseCfg } from './cfg.js';
import { adoptNames } from './names.js';
import { type DarknetHead, DarknetNetwork } from './network.js';
import { WeightsFile } from './weights-file.js';

export interface ImportDarknetOptions {
  /** Multiply BatchNormalization into the convolutions; what comes out can be run, but not trained as well. @default false */
  fold?: boolean | undefined;
  /** Height and width of the input in pixels, 1 to 8,192. @default the cfg's */
  size?: number | undefined;
  /** The names of the classes; they become the metadata `names`. */
  names?: readonly string[] | undefined;
}

export interface ImportedDarknet {
  model: ModelProto;
  /** How many convolutions it has. */
  convolutions: number;
  /** How many pictures the weights were trained with, as they say. */
  seen: number;
}

/**
 * Reads a network. Initializers are named as those of `newModel('yolov4')` where it is the same network (BatchNormalization
 * kept), otherwise `layerN.weight`, `layerN.bias`, `layerN.norm.scale`, ... with N as Darknet counts layers. The metadata
 * `heads` says what the outputs mean, as in models built here.
 *
 * @param cfg path of the .cfg
 * @param weights path of the .weights
 * @throws SecateurError INVALID_MODEL where the files are damaged or do not fit each other; UNSUPPORTED on layers and keys
 * that are not known; IO; INVALID_OPTION.
 * @example
 * const { model } = importDarknet('yolov4.cfg', 'yolov4.weights', { size: 416 });
 */
export function importDarknet(cfg: string, weights: string, options: ImportDarknetOptions = {}): ImportedDarknet {
  const { fold = false, size, names } = options;
  if (size !== undefined && !(Number.isSafeInteger(size) && size >= 1 && size <= 8192)) {
    throw invalidOption('size', 'an integer from 1 to 8192', size);
  }
  const sections = parseCfg(readText(cfg), cfg);
  const file = new WeightsFile(weights);
  const network = new DarknetNetwork(sections, file, { fold, size });
  const { graph } = network.build();
  const { heads, convolutions } = network;
  const classes = heads[0]?.classes ?? 0;
  if (names !== undefined && names.length !== classes) {
    throw invalidOption('names', `${classes} names, one a class of ${cfg}`, `${names.length} names`);
  }
  const metadata = {
    architecture: nameAsBuilt(graph, heads) ?? 'darknet',
    heads: JSON.stringify(heads.map(({ classes: _, ...head }) => head)),
    classes: String(classes),
    ...(names === undefined ? {} : { names: JSON.stringify(names) }),
  };
  return { model: modelOf(graph, { opset, metadata }), convolutions, seen: file.seen };
}

/** Takes over the names of YOLOv4 or YOLOv4-tiny where the graph is one of them. */
function nameAsBuilt(graph: GraphProto, heads: readonly DarknetHead[]): 'yolov4' | 'yolov4-tiny' | undefined {
  const tiny = heads.length === 2;
  const reference = GraphBuilder.create('yolov4');
  // The size is not part of the nodes, and the weights stay zeros that nobody reads.
  const layers = new LayerBuilder(reference, new WeightSource(0, () => undefined));
  buildYolov4(layers, { size: 32, classes: heads[0]?.classes ?? 1, tiny });
  if (!adoptNames(graph, reference.graph)) return undefined;
  return tiny ? 'yolov4-tiny' : 'yolov4';
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw ioError('read', path, error);
  }
}
