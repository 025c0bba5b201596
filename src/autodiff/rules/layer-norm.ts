// Normalisation of each sample by itself.
import { float } from '../../onnx/build/attributes.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import { arithmetic } from '../arithmetic.js';
import {
  type Broadcast,
  floatAttribute,
  floatType,
  input,
  intAttribute,
  mean,
  type Rule,
  type RuleContext,
  type RuleFamily,
  reshapeLike,
  sum,
} from '../rule.js';

interface Normalised {
  /** xh = (x - mean(x)) r, over the axes. */
  readonly value: Value;
  /** r = 1 / sqrt(variance + epsilon). */
  readonly inverse: Value;
}

interface Normalisation {
  /** Of x along the axes, which are its last ones. */
  readonly shape: readonly number[];
  readonly axes: readonly number[];
}

/** LayerNormalization without scale and bias: one fused node, faster than to rebuild xh from the forward node's mean. */
function normalise(c: RuleContext, x: Value, { shape, axes }: Normalisation): Normalised {
  if (c.opset < 17) return normaliseByParts(c, x, axes);
  const count = shape.reduce((product, size) => product * size, 1);
  const { dtype } = c.facts(input(c, 0));
  const ones = dtype === 'float64' ? new Float64Array(count).fill(1) : new Float32Array(count).fill(1);
  const epsilon = float(floatAttribute(c.node, 'epsilon', 1e-5));
  const outputs = c.emitAll('LayerNormalization', [x, c.graph.constant(shape, ones)], 3, {
    axis: axes[0],
    epsilon,
  });
  const [value = '', , inverse = ''] = outputs;
  // The statistics are float32 whatever x is.
  return {
    value,
    inverse: dtype === 'float64' ? c.emit('Cast', [inverse], { to: floatType(c, input(c, 0)) }) : inverse,
  };
}

/** The same for operator sets before 17, which do not have it. */
function normaliseByParts(c: RuleContext, x: Value, axes: readonly number[]): Normalised {
  const { add, div, mul, of, sub } = arithmetic(c);
  const centred = sub(x, mean(c, x, axes, true));
  const variance = mean(c, mul(centred, centred), axes, true);
  const inverse = div(1, of('Sqrt', add(variance, floatAttribute(c.node, 'epsilon', 1e-5))));
  return { value: mul(centred, inverse), inverse };
}

/** r (g - mean(g) - xh mean(g xh)), where g is the gradient of xh. */
function throughNormalised(c: RuleContext, g: Value, { value, inverse }: Normalised, axes: readonly number[]): Value {
  const { mul, sub } = arithmetic(c);
  const along = mul(value, mean(c, mul(g, value), axes, true));
  return mul(inverse, sub(sub(g, mean(c, g, axes, true)), along));
}

const layerNormalization: Rule = (c) => {
  const { mul } = arithmetic(c);
  const { shape } = c.facts(input(c, 0));
  const given = intAttribute(c.node, 'axis', -1);
  const axis = given < 0 ? given + shape.length : given;
  const axes = shape.flatMap((_, at) => (at >= axis ? [at] : []));
  const normalised = normalise(c, input(c, 0), { shape: shape.slice(axis), axes });
  const full = (value: Value): Broadcast => ({ value, shape });
  return [
    c.needs(0) ? throughNormalised(c, mul(c.dY, input(c, 1)), normalised, axes) : null,
    c.needs(1) ? full(mul(c.dY, normalised.value)) : null,
    full(c.dY),
  ];
};

// With space as one axis: [N, C, space]
const instanceNormalization: Rule = (c) => {
  const { mul } = arithmetic(c);
  const { shape } = c.facts(input(c, 0));
  const pixels = shape.slice(2).reduce((product, size) => product * size, 1);
  const rows = (value: Value) => c.emit('Reshape', [value, c.graph.int64([0, 0, -1])]);
  const dY = rows(c.dY);
  const normalised = normalise(c, rows(input(c, 0)), { shape: [pixels], axes: [2] });
  const scale = c.emit('Reshape', [input(c, 1), c.graph.int64([-1, 1])]);
  const dX = () => reshapeLike(c, throughNormalised(c, mul(dY, scale), normalised, [2]), input(c, 0));
  return [
    c.needs(0) ? dX() : null,
    c.needs(1) ? sum(c, mul(dY, normalised.value), [0, 2], false) : null,
    c.needs(2) ? sum(c, dY, [0, 2], false) : null,
  ];
};

export const layerNorms: RuleFamily = {
  LayerNormalization: layerNormalization,
  InstanceNormalization: instanceNormalization,
};
