// Operators that treat every channel alike and keep channels apart: normalisation with given statistics, pooling,
// resizing, reductions over other axes, Softmax along another axis.
import { floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../../onnx/attributes.js';
import { reducedAxes } from '../../onnx/infer/compute.js';
import { frontAxis } from '../../onnx/infer/shape.js';
import {
  type Couplings,
  inputOf,
  type NodeFacts,
  outputOf,
  type Rule,
  type RuleChoice,
  type RuleFamily,
} from '../rule.js';
import { lengthOf, rounded, type Value } from '../value.js';
import { pinSpace } from './broadcast.js';
import { inputsOf } from './opaque.js';

/** Batch and channels of the output are those of the input; the other axes stay whole. */
function coupleChannels(node: NodeFacts, net: Couplings): void {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  for (const axis of [0, 1]) net.joinAxes(x, axis, out, axis);
  for (const value of [x, out]) pinSpace(node, value, net);
}

/** Applies a function to the known channels. */
function mapChannels(node: NodeFacts, apply: (value: number, channel: number) => number): void {
  const numbers = inputOf(node, 0).constants[1]?.map(apply);
  if (numbers !== undefined) outputOf(node).constants[1] = numbers;
}

// y = (x - mean) / sqrt(variance + epsilon) * scale + bias
const batchNormalization: RuleChoice = (node) => {
  const { proto } = node;
  if (intAttribute(proto, 'training_mode', 0) === 1 || proto.output.slice(1).some((name) => name !== ''))
    return undefined;
  const x = inputOf(node, 0);
  if ((x.shape?.length ?? 0) < 2 || intAttribute(proto, 'spatial', 1) === 0) return undefined;
  const epsilon = floatAttribute(proto, 'epsilon', 1e-5);
  return {
    constants() {
      const [scale, bias, mean, variance] = [1, 2, 3, 4].map((index) => node.inputs[index]?.data?.elements());
      const unknown = Number.NaN;
      const out = Float64Array.from({ length: lengthOf(x, 1) }, (_, channel) => {
        const value = x.constants[1]?.[channel] ?? unknown;
        const factor = (scale?.[channel] ?? unknown) / Math.sqrt((variance?.[channel] ?? unknown) + epsilon);
        // A scale of zero leaves the bias, whatever comes in.
        const scaled = factor === 0 ? 0 : (value - (mean?.[channel] ?? unknown)) * factor;
        return rounded(scaled + (bias?.[channel] ?? unknown), x.type);
      });
      if (out.some((value) => !Number.isNaN(value))) outputOf(node).constants[1] = out;
    },
    couple(_, net) {
      const out = outputOf(node);
      for (const axis of x.atoms.keys()) net.joinAxes(x, axis, out, axis);
      for (const parameter of node.inputs.slice(1)) if (parameter !== undefined) net.joinAxes(parameter, 0, out, 1);
    },
  };
};

// A channel of zeros has mean and variance zero, which leaves the bias.
const instanceNormalization: Rule = {
  constants(node) {
    const bias = node.inputs[2]?.data?.elements();
    mapChannels(node, (value, channel) => (value === 0 ? (bias?.[channel] ?? Number.NaN) : Number.NaN));
  },
  couple(node, net) {
    coupleChannels(node, net);
    for (const parameter of node.inputs.slice(1))
      if (parameter !== undefined) net.joinAxes(parameter, 0, outputOf(node), 1);
  },
};

/** Windows may look at padding, of which zeros are counted only if that is asked for. */
const averagePool: Rule = {
  constants(node) {
    const counts = intAttribute(node.proto, 'count_include_pad', 0) === 1;
    const padded =
      (intsAttribute(node.proto, 'pads') ?? []).some((pad) => pad > 0) ||
      stringAttribute(node.proto, 'auto_pad', 'NOTSET').startsWith('SAME') ||
      intAttribute(node.proto, 'ceil_mode', 0) === 1;
    mapChannels(node, (value) => (counts && padded && value !== 0 ? Number.NaN : value));
  },
  couple: coupleChannels,
};

const maxPool: RuleChoice = (node) => {
  // Indices count over all channels.
  if ((node.proto.output[1] ?? '') !== '') return undefined;
  return { constants: (facts) => mapChannels(facts, (value) => value), couple: coupleChannels };
};

const globalPool: Rule = { constants: (node) => mapChannels(node, (value) => value), couple: coupleChannels };

/** Axes whose length does not change keep their channels apart. */
function unresized(x: Value, out: Value): number[] {
  return (x.shape ?? []).flatMap((dim, axis) => (dim === out.shape?.[axis] ? [axis] : []));
}

const resize: RuleChoice = (node) => {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const crops = stringAttribute(node.proto, 'coordinate_transformation_mode', '') === 'tf_crop_and_resize';
  if (crops || x.shape?.length !== out.shape?.length) return undefined;
  const same = unresized(x, out);
  const sizes = node.inputs[3];
  if (sizes !== undefined && (sizes.data === undefined || intsAttribute(node.proto, 'axes') !== undefined))
    return undefined;
  return {
    constants() {
      for (const axis of same) out.constants[axis] = x.constants[axis];
    },
    couple(_, net) {
      for (const axis of same) net.joinAxes(x, axis, out, axis);
      for (const value of [x, out]) {
        for (const axis of value.atoms.keys())
          if (!same.includes(axis)) net.pinAxis(value, axis, `resized by ${node.label}`);
      }
    },
    rewrite(_, edit) {
      const given = node.context.contents(3);
      if (sizes === undefined || given === undefined || given.every((__, axis) => edit.kept(out, axis) === undefined))
        return;
      const counted = given.map((size, axis) => edit.kept(out, axis)?.length ?? Number(size));
      edit.setIntegers(node, 3, 'sizes', counted);
    },
  };
};

/** A channel that is constant stays so under mean, maximum and minimum, and under a sum of zeros. */
const reduce: RuleChoice = (node) => {
  const [x, out] = [inputOf(node, 0), outputOf(node)];
  const axes = reducedAxes(node.context);
  if (axes === undefined) return undefined;
  const keeps = intAttribute(node.proto, 'keepdims', 1) === 1;
  const rest = [...x.atoms.keys()].filter((axis) => !axes.includes(axis));
  const target = (axis: number): number => (keeps ? axis : rest.indexOf(axis));
  const averages = ['ReduceMean', 'ReduceMax', 'ReduceMin'].includes(node.proto.opType);
  const zeroes = ['ReduceSum', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare'].includes(node.proto.opType);
  return {
    constants() {
      for (const axis of rest) {
        const numbers = x.constants[axis]?.map((value) => (averages || (zeroes && value === 0) ? value : Number.NaN));
        if (numbers !== undefined) out.constants[target(axis)] = numbers;
      }
    },
    couple(_, net) {
      for (const axis of rest) net.joinAxes(x, axis, out, target(axis));
      if (keeps) for (const axis of axes) net.pinAxis(out, axis, 'an axis of length 1');
    },
    demand: (_, marks) => readAxes(node, axes, marks),
  };
};

/** Needs all inputs, and of input 0 everything along some axes. */
function readAxes(node: NodeFacts, axes: readonly number[], marks: Parameters<NonNullable<Rule['demand']>>[1]): void {
  for (const input of inputsOf(node)) marks.need(input);
  const reason = `read by ${node.proto.opType} ${node.label}, which needs all channels`;
  for (const axis of axes) marks.markAxis(inputOf(node, 0), axis, reason);
}

/** Operators that look along one or more axes, all of which they need, and keep the others apart. */
function alongAxes(axesOf: (node: NodeFacts, rank: number) => number[]): RuleChoice {
  return (node) => {
    const [x, out] = [inputOf(node, 0), outputOf(node)];
    const axes = axesOf(node, x.shape?.length ?? 0);
    if (node.outputs.slice(1).some((other) => other !== undefined)) return undefined;
    return {
      couple(_, net) {
        for (const axis of x.atoms.keys()) net.joinAxes(x, axis, out, axis);
      },
      demand: (_, marks) => readAxes(node, axes, marks),
    };
  };
}

const from = (axis: number, rank: number): number[] => Array.from({ length: rank - axis }, (_, index) => axis + index);

/** Before opset 13 Softmax looked along all axes from its own on. */
const softmaxAxes = ({ proto, context }: NodeFacts, rank: number): number[] => {
  const old = context.opset < 13;
  const axis = frontAxis(intAttribute(proto, 'axis', old ? 1 : -1), rank);
  return old ? from(axis, rank) : [axis];
};

const normalisedAxes = ({ proto }: NodeFacts, rank: number): number[] =>
  from(frontAxis(intAttribute(proto, 'axis', -1), rank), rank);

const reductions = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'Sum', 'SumSquare'];

export const channelwise: RuleFamily = {
  BatchNormalization: batchNormalization,
  InstanceNormalization: instanceNormalization,
  AveragePool: averagePool,
  MaxPool: maxPool,
  LpPool: { couple: coupleChannels },
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  Resize: resize,
  Upsample: resize,
  Softmax: alongAxes(softmaxAxes),
  LogSoftmax: alongAxes(softmaxAxes),
  Hardmax: alongAxes(softmaxAxes),
  LayerNormalization: alongAxes(normalisedAxes),
  ...Object.fromEntries(reductions.map((name) => [`Reduce${name}`, reduce])),
};
