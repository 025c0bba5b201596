// The sections of a cfg as ONNX nodes, one method a kind of section, with Darknet's rules for sizes and padding.
// Numbers come from the weights file in the order of the convolutions.
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { type Activation, type Feature, LayerBuilder, type ParameterSource } from '../layers.js';
import type { Head } from '../yolov4/heads.js';
import { cfgError, type Section } from './cfg.js';
import { fold } from './fold.js';
import type { ConvolutionParameters, WeightsFile } from './weights-file.js';

/** BatchNormalization's epsilon, in Darknet and in the models built here. */
export const EPSILON = 1e-5;

const activations: Readonly<Record<string, Activation>> = {
  linear: 'linear',
  relu: 'relu',
  leaky: 'leakyRelu',
  mish: 'mish',
  logistic: 'logistic',
  swish: 'swish',
};

/** A value [N, channels, height, width]. */
interface Layer extends Feature {
  readonly height: number;
  readonly width: number;
}

export interface DarknetOptions {
  /** Multiply BatchNormalization into the convolutions. */
  readonly fold: boolean;
  /** Height and width of the input, instead of the cfg's. */
  readonly size: number | undefined;
}

/** A head and how many classes it tells apart. */
export interface DarknetHead extends Head {
  readonly classes: number;
}

/** Builds the graph of a cfg; `build` does it all. */
export class DarknetNetwork {
  readonly heads: DarknetHead[] = [];
  convolutions = 0;
  readonly #graph = GraphBuilder.create('darknet');
  readonly #sections: readonly Section[];
  readonly #weights: WeightsFile;
  readonly #fold: boolean;
  readonly #numbers = new NextConvolution();
  readonly #builder = new LayerBuilder(this.#graph, this.#numbers);
  /** What each section after [net] gives; undefined for [yolo]. */
  readonly #layers: (Layer | undefined)[] = [];
  readonly #image: Layer;

  constructor(sections: readonly Section[], weights: WeightsFile, { fold: folded, size }: DarknetOptions) {
    const [net, ...rest] = sections as [Section, ...Section[]]; // parseCfg has checked it
    this.#sections = rest;
    this.#weights = weights;
    this.#fold = folded;
    const channels = net.whole('channels', 1, 3);
    const [height, width] = [size ?? net.whole('height', 1), size ?? net.whole('width', 1)];
    const value = this.#graph.input('input', 'float32', ['N', channels, height, width]);
    this.#image = { value, channels, height, width };
  }

  /** Adds all layers and returns the graph. Its outputs are the heads, finest first. */
  build(): GraphBuilder {
    for (const [index, section] of this.#sections.entries()) this.#layers.push(this.#add(section, index));
    if (this.heads.length === 0) {
      const [first] = this.#sections as [Section];
      throw cfgError(first.path, first.line, 'Expected at least one [yolo] section after this layer, got none');
    }
    this.#weights.end();
    this.heads.sort((a, b) => a.stride - b.stride);
    for (const { output, stride, classes, anchors } of this.heads) {
      const { height, width } = this.#image;
      const channels = anchors.length * (5 + classes);
      this.#graph.output(output, 'float32', ['N', channels, height / stride, width / stride]);
    }
    return this.#graph;
  }

  #add(section: Section, index: number): Layer | undefined {
    switch (section.type) {
      case 'convolutional':
        return this.#convolution(section, index);
      case 'maxpool':
        return this.#maxPool(section, index);
      case 'route':
        return this.#route(section, index);
      case 'shortcut':
        return this.#shortcut(section, index);
      case 'upsample': {
        const [x, factor] = [this.#before(section, index), section.whole('stride', 1, 2)];
        return { ...this.#builder.upsample(x, factor), height: x.height * factor, width: x.width * factor };
      }
      default:
        this.#yolo(section, index);
        return undefined;
    }
  }

  #convolution(section: Section, index: number): Layer {
    const x = this.#before(section, index);
    const [filters, kernel] = [section.whole('filters', 1, 1), section.whole('size', 1, 1)];
    const [stride, groups] = [section.whole('stride', 1, 1), section.whole('groups', 1, 1)];
    const half = section.whole('pad', 0, 0) === 0 ? undefined : Math.floor(kernel / 2);
    const pad = half ?? section.whole('padding', 0, 0);
    const normalized = section.whole('batch_normalize', 0, 0) !== 0;
    const activation = section.word('activation', activations, 'logistic');
    if (x.channels % groups !== 0 || filters % groups !== 0) {
      throw section.error(`Expected groups to divide ${x.channels} channels and ${filters} filters, got ${groups}`);
    }
    const weights = filters * (x.channels / groups) * kernel * kernel;
    const where = `layer ${index} (line ${section.line} of the cfg)`;
    const numbers = this.#weights.convolution({ filters, weights, normalized }, where);
    this.#numbers.current = this.#fold ? fold(numbers, EPSILON) : numbers;
    this.convolutions += 1;

    const [height, width] = [x.height, x.width].map((side) => Math.floor((side + 2 * pad - kernel) / stride) + 1);
    const size = this.#sized(section, height, width);
    const shape = { name: `layer${index}`, filters, kernel, stride, pad, groups };
    if (normalized && !this.#fold) return { ...this.#builder.convBlock(x, { ...shape, activation }), ...size };
    // The convolution before a head gives its output the head's name, which spares a node.
    const isHead = activation === 'linear' && this.#sections[index + 1]?.type === 'yolo';
    const output = isHead ? { output: this.#headName(size.width) } : {};
    const convolved = this.#builder.conv(x, { ...shape, bias: true, ...output });
    return { ...this.#builder.scope(shape.name).activate(convolved, activation), ...size };
  }

  // `padding` is of both sides together; the smaller half comes first. Cells that no window needs are not padded, so that
  // even sizes at stride 2 need none.
  #maxPool(section: Section, index: number): Layer {
    const x = this.#before(section, index);
    const stride = section.whole('stride', 1, 1);
    const kernel = section.whole('size', 1, stride);
    const padding = section.whole('padding', 0, kernel - 1);
    const begin = Math.floor(padding / 2);
    const sides = [x.height, x.width].map((side) => {
      const cells = Math.floor((side + padding - kernel) / stride) + 1;
      return { cells, end: Math.max(0, (cells - 1) * stride + kernel - side - begin) };
    });
    const [height, width] = sides.map(({ cells }) => cells);
    const pads = [begin, begin, ...sides.map(({ end }) => end)];
    if (pads.some((pad) => pad >= kernel))
      throw section.error(`Expected padding below twice ${kernel}, got ${padding}`);
    const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads };
    const size = this.#sized(section, height, width);
    return { ...x, value: this.#graph.op('MaxPool', [x.value], attributes), ...size };
  }

  #route(section: Section, index: number): Layer {
    const layers = section.list('layers', { whole: true }).map((layer) => this.#layer(section, index, layer));
    const [groups, group] = [section.whole('groups', 1, 1), section.whole('group_id', 0, 0)];
    if (group >= groups || layers.some(({ channels }) => channels % groups !== 0)) {
      throw section.error(`Expected groups=${groups} to divide all channels and to have a group ${group}`);
    }
    const parts = layers.map((layer) => {
      const channels = layer.channels / groups;
      return groups === 1 ? layer : this.#builder.channelRange(layer, group * channels, (group + 1) * channels);
    });
    const [first] = layers as [Layer];
    if (layers.some((layer) => !sameSize(layer, first))) throw differing(section, layers);
    const [part] = parts as [Feature];
    return { ...(parts.length === 1 ? part : this.#builder.concat(parts)), height: first.height, width: first.width };
  }

  #shortcut(section: Section, index: number): Layer {
    const x = this.#before(section, index);
    const others = section.list('from', { whole: true }).map((layer) => this.#layer(section, index, layer));
    if (others.some((layer) => !sameSize(layer, x) || layer.channels !== x.channels)) {
      throw differing(section, [x, ...others]);
    }
    const sum = others.reduce<Feature>((total, layer) => this.#builder.add(layer, total), x);
    return { ...x, ...this.#builder.activate(sum, section.word('activation', activations, 'linear')) };
  }

  #yolo(section: Section, index: number): void {
    const x = this.#before(section, index);
    const [classes, count] = [section.whole('classes', 1, 20), section.whole('num', 1, 1)];
    const pairs = section.list('anchors');
    if (pairs.length !== 2 * count || pairs.some((side) => side <= 0)) {
      throw section.error(
        `Expected anchors to be ${count} pairs of numbers above 0 (num=${count}), got ${pairs.length} numbers`,
      );
    }
    const mask = section.has('mask')
      ? section.list('mask', { whole: true })
      : Array.from({ length: count }, (_, i) => i);
    const anchors = mask.map((anchor): [number, number] => {
      const [width, height] = pairs.slice(2 * anchor, 2 * anchor + 2);
      if (anchor >= 0 && width !== undefined && height !== undefined) return [width, height];
      throw section.error(`Expected mask to name anchors from 0 to ${count - 1}, got ${anchor}`);
    });
    const channels = anchors.length * (5 + classes);
    if (x.channels !== channels) {
      throw section.error(
        `Expected ${channels} channels before [yolo], ${anchors.length} anchors * (5 + ${classes} classes), got ${x.channels}`,
      );
    }
    const stride = this.#image.width / x.width;
    if (!Number.isInteger(stride) || this.#image.height / x.height !== stride) {
      throw section.error(
        `Expected the input (${this.#image.width} x ${this.#image.height}) to be a multiple of the head (${x.width} x ${x.height}) on both sides`,
      );
    }
    const output = this.#headName(x.width);
    if (x.value !== output) this.#graph.op('Identity', [x.value], {}, { outputs: [output] });
    this.heads.push({ output, stride, anchors, scaleXY: section.positive('scale_x_y', 1), classes });
  }

  /** `stride8` for a head of 52 x 52 cells of a picture of 416 x 416; a second one of the stride is `stride8_2`. */
  #headName(width: number): string {
    const stride = this.#image.width / width;
    const before = this.heads.filter((head) => head.stride === stride).length;
    return `stride${stride}${before === 0 ? '' : `_${before + 1}`}`;
  }

  #before(section: Section, index: number): Layer {
    return index === 0 ? this.#image : this.#layer(section, index, -1);
  }

  /** Layers are counted from 0 after [net]; negative numbers from the layer that names them. */
  #layer(section: Section, index: number, layer: number): Layer {
    const absolute = layer < 0 ? index + layer : layer;
    if (absolute < 0 || absolute >= index) {
      throw section.error(`Expected layer ${layer} of layer ${index} to be one before it, got layer ${absolute}`);
    }
    const found = this.#layers[absolute];
    if (found !== undefined) return found;
    throw section.error(`Expected layer ${absolute} to have an output for layer ${index}, got [yolo]`);
  }

  #sized(section: Section, height = 0, width = 0): { height: number; width: number } {
    if (height > 0 && width > 0) return { height, width };
    throw section.error(
      `Expected an input that is large enough for [${section.type}], got an output of ${width} x ${height}`,
    );
  }
}

/** Gives the layer builder the numbers of the convolution at hand. */
class NextConvolution implements ParameterSource {
  current: ConvolutionParameters | undefined;

  weights(): Float32Array {
    return this.#known().weight;
  }

  vector(kind: 'bias' | 'scale' | 'mean' | 'variance'): Float32Array {
    const { bias, norm } = this.#known();
    return kind === 'bias' || norm === undefined ? bias : norm[kind];
  }

  #known(): ConvolutionParameters {
    if (this.current === undefined) throw new Error('Expected the numbers of a convolution');
    return this.current;
  }
}

function sameSize(a: Layer, b: Layer): boolean {
  return a.height === b.height && a.width === b.width;
}

function differing(section: Section, layers: readonly Layer[]): Error {
  const shown = layers.map(({ channels, height, width }) => `${channels} x ${height} x ${width}`).join(' and ');
  return section.error(`Expected [${section.type}] to join layers of the same size, got ${shown}`);
}
