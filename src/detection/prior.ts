// What an untrained head says of every cell: the biases to begin a training with (the prior of RetinaNet, T.-Y. Lin et
// al., 2017). With biases of 0 every cell is an object with probability 1/2, and the first steps only unlearn that.
import type { ModelProto, TensorProto } from '../onnx/schema/onnx_pb.js';
import { boxChannels, type DetectionNetwork } from './heads.js';

/** The probability that a cell shows an object, before anything is learned. */
const objectPrior = 0.01;

/**
 * Heads whose biases are all 0, as they are before any training, begin with an objectness of 0.01 and classes that are
 * equally likely. Other heads stay as they are. In place, with new bytes: those of a copy that shares them stay.
 */
export function setPriorBiases({ graph }: ModelProto, { heads, classes }: DetectionNetwork): void {
  for (const { output, anchors } of heads) {
    const node = graph?.node.find((each) => each.output.includes(output));
    const bias = graph?.initializer.find(({ name }) => name === node?.input[2]);
    if (node?.opType === 'Conv' && bias && isZero(bias)) bias.rawData = priors(anchors.length, classes);
  }
}

function isZero({ rawData }: TensorProto): boolean {
  return rawData.length > 0 && rawData.every((byte) => byte === 0);
}

function priors(anchors: number, classes: number): Uint8Array {
  const anchor = new Float32Array(boxChannels + classes).fill(logit(1 / Math.max(2, classes)), boxChannels);
  anchor[boxChannels - 1] = logit(objectPrior);
  const all = Float32Array.from({ length: anchors * anchor.length }, (_, at) => anchor[at % anchor.length] ?? 0);
  return new Uint8Array(all.buffer);
}

function logit(probability: number): number {
  return Math.log(probability / (1 - probability));
}
