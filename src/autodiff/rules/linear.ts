// Products of matrices: Gemm and MatMul of all ranks.
import { SecateurError } from '../../errors.js';
import { float } from '../../onnx/build/attributes.js';
import type { Value } from '../../onnx/build/graph-builder.js';
import {
  type Broadcast,
  changeAxes,
  floatAttribute,
  input,
  intAttribute,
  output,
  type Rule,
  type RuleContext,
  type RuleFamily,
  scalarLike,
} from '../rule.js';

// Y = alpha A' B' + beta C, with A' = A^T if transA: dA' = alpha dY B'^T, dB' = alpha A'^T dY, dC = beta dY
const gemm: Rule = (c) => {
  const { node, dY } = c;
  const [a, b] = [input(c, 0), input(c, 1)];
  const alpha = floatAttribute(node, 'alpha', 1);
  const beta = floatAttribute(node, 'beta', 1);
  const [transA, transB] = [intAttribute(node, 'transA', 0), intAttribute(node, 'transB', 0)];
  const product = (left: Value, right: Value, transposed: readonly [number, number]) =>
    scaled(c, c.emit('Gemm', [left, right], { transA: transposed[0], transB: transposed[1] }), alpha);
  const dA = () => (transA ? product(b, dY, [transB, 1]) : product(dY, b, [0, 1 - transB]));
  const dB = () => (transB ? product(dY, a, [1, transA]) : product(a, dY, [1 - transA, 0]));
  return [
    c.needs(0) ? dA() : null,
    c.needs(1) ? dB() : null,
    c.needs(2) ? { value: scaled(c, dY, beta), shape: c.facts(c.outputs[0] ?? '').shape } : null,
  ];
};

function scaled(c: RuleContext, value: Value, factor: number): Value {
  return factor === 1 ? value : c.emit('Mul', [value, scalarLike(c, factor, input(c, 0))]);
}

// Y = A B: dA = dY B^T, dB = A^T dY. A vector counts as a matrix of one row (A) or one column (B).
const matMul: Rule = (c) => {
  const shapes = [c.facts(input(c, 0)).shape, c.facts(input(c, 1)).shape] as const;
  const [vectorA, vectorB] = [shapes[0].length === 1, shapes[1].length === 1];
  const row = vectorA ? changeAxes(c, 'Unsqueeze', c.dY, [vectorB ? -1 : -2]) : c.dY;
  const dY = vectorB ? changeAxes(c, 'Unsqueeze', row, [-1]) : row;
  const a = vectorA ? changeAxes(c, 'Unsqueeze', input(c, 0), [0]) : input(c, 0);
  const b = vectorB ? changeAxes(c, 'Unsqueeze', input(c, 1), [1]) : input(c, 1);
  const batch = c.facts(c.outputs[0] ?? '').shape.slice(0, -2 + Number(vectorA) + Number(vectorB) || undefined);
  const rankA = vectorA ? 2 : shapes[0].length;
  const rankB = vectorB ? 2 : shapes[1].length;
  const dA = (): Broadcast => {
    const value = c.emit('MatMul', [dY, transposed(c, b, rankB)]);
    return { value, shape: [...batch, ...(vectorA ? [1] : []), ...shapes[0].slice(-2)] };
  };
  const dB = (): Broadcast => {
    const value = c.emit('MatMul', [transposed(c, a, rankA), dY]);
    return {
      value: vectorB ? changeAxes(c, 'Squeeze', value, [-1]) : value,
      shape: [...batch, ...shapes[1].slice(-2)],
    };
  };
  return [c.needs(0) ? dA() : null, c.needs(1) ? dB() : null];
};

function transposed(c: RuleContext, value: Value, rank: number): Value {
  const perm = Array.from({ length: rank }, (_, index) => index);
  return c.emit('Transpose', [value], { perm: [...perm.slice(0, -2), rank - 1, rank - 2] });
}

// Y = alpha A' B', as MatMul with either matrix transposed
const fusedMatMul: Rule = (c) => {
  const { node, dY } = c;
  const [a, b] = [input(c, 0), input(c, 1)];
  const shapes = [c.facts(a).shape, c.facts(b).shape, c.facts(output(c)).shape] as const;
  const batched = intAttribute(node, 'transBatchA', 0) + intAttribute(node, 'transBatchB', 0) > 0;
  if (batched || shapes.some(({ length }) => length < 2)) {
    const which = `FusedMatMul ${node.name || output(c)}`;
    throw new SecateurError('UNSUPPORTED', `Expected ${which} to have matrices and no transBatch, got other inputs`);
  }
  const [transA, transB] = [intAttribute(node, 'transA', 0), intAttribute(node, 'transB', 0)];
  const alpha = float(floatAttribute(node, 'alpha', 1));
  const product = (left: Value, right: Value, of: 0 | 1, [first, second]: readonly [number, number]): Broadcast => ({
    value: c.emitContrib('FusedMatMul', [left, right], { alpha, transA: first, transB: second }),
    shape: [...shapes[2].slice(0, -2), ...shapes[of].slice(-2)],
  });
  const dA = () => (transA ? product(b, dY, 0, [transB, 1]) : product(dY, b, 0, [0, 1 - transB]));
  const dB = () => (transB ? product(dY, a, 1, [1, transA]) : product(a, dY, 1, [1 - transA, 0]));
  return [c.needs(0) ? dA() : null, c.needs(1) ? dB() : null];
};

export const linear: RuleFamily = { Gemm: gemm, MatMul: matMul };

/** Of com.microsoft. */
export const contribLinear: RuleFamily = { FusedMatMul: fusedMatMul };
