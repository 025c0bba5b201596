// What is taken for a weight, and the reason for everything that is not.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { SecateurError } from '../../src/errors.js';
import type { GraphProtoSchema, NodeProtoSchema, TensorProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { AttributeProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { findPrunable, type NameFilters } from '../../src/prune/prunable.js';
import { modelWith } from '../onnx/helpers.js';

type Node = MessageInitShape<typeof NodeProtoSchema>;
type Tensor = MessageInitShape<typeof TensorProtoSchema>;
type Graph = MessageInitShape<typeof GraphProtoSchema>;

const tensor = (name: string, dims: number[] = [2, 3], dataType = 1): Tensor => ({
  name,
  dims: dims.map(BigInt),
  dataType,
});
const node = (opType: string, input: string[], output: string[], more: Node = {}): Node =>
  ({ opType, input, output, ...more }) as Node;

/** Names of the prunable tensors with their operators, and reasons of the others. */
function sorted(graph: Graph, filters?: NameFilters, functions: Parameters<typeof modelWith>[1] = {}) {
  const { prunable, skipped } = findPrunable(modelWith(graph, functions), filters);
  return {
    prunable: prunable.map(({ name, op }) => `${name}: ${op}`),
    skipped: Object.fromEntries(skipped.map(({ name, reason }) => [name, reason])),
  };
}

test('weights of the four operators, in the order of the file', () => {
  const graph = {
    input: [{ name: 'x' }],
    initializer: [tensor('b', [3]), tensor('w4'), tensor('w1'), tensor('w2'), tensor('w3'), tensor('bias2', [1, 3])],
    node: [
      node('Conv', ['x', 'w1', 'b'], ['a']),
      node('ConvTranspose', ['a', 'w2', 'b'], ['c']),
      node('Gemm', ['c', 'w3', 'bias2'], ['d']),
      node('MatMul', ['w4', 'd'], ['y']),
    ],
  };
  expect(sorted(graph)).toEqual({
    prunable: ['w4: MatMul', 'w1: Conv', 'w2: ConvTranspose', 'w3: Gemm'],
    skipped: { bias2: 'used by Gemm; add it with --include' },
  });
});

test('through Constant, Identity, Transpose, Cast, Reshape and Quantize-Dequantize; shared ones once', () => {
  const value = create(AttributeProtoSchema, { name: 'value', type: 4, t: tensor('') });
  const graph = {
    initializer: [tensor('w'), tensor('shared'), tensor('trained')],
    node: [
      node('Constant', [], ['k'], { attribute: [value] }),
      node('Identity', ['w'], ['w1']),
      node('Transpose', ['w1'], ['w2']),
      node('Cast', ['w2'], ['w3']),
      node('Reshape', ['w3', 'shape'], ['w4']),
      node('MatMul', ['x', 'w4'], ['a']),
      node('MatMul', ['a', 'k'], ['b']),
      node('MatMul', ['b', 'shared'], ['c']),
      node('Gemm', ['c', 'shared'], ['d']),
      node('Gather', ['shared', 'i'], ['e']),
      node('QuantizeLinear', ['trained', 's'], ['q']),
      node('DequantizeLinear', ['q', 's'], ['t']),
      node('Conv', ['d', 't'], ['y']),
    ],
  };
  expect(sorted(graph)).toEqual({
    prunable: ['w: MatMul', 'shared: MatMul', 'trained: Conv', 'k: MatMul'],
    skipped: {},
  });
});

test('each weight that is not pruned has its reason', () => {
  const graph = {
    initializer: [
      tensor('embedding'),
      tensor('lstm', [1, 4, 4]),
      tensor('quantised', [2, 3], 3),
      tensor('integers', [2, 3], 7),
      tensor('vector', [3]),
      tensor('factor'),
      tensor('unused'),
      tensor('contrib'),
      tensor('result'),
      tensor('int4', [2, 3], 22),
    ],
    sparseInitializer: [{ values: tensor('sparse', [4]), dims: [2n, 3n] }],
    output: [{ name: 'result' }],
    node: [
      node('Gather', ['embedding', 'i'], ['x']),
      node('LSTM', ['x', 'lstm'], ['h']),
      node('DequantizeLinear', ['quantised', 's'], ['dq']),
      node('Conv', ['h', 'dq'], ['c']),
      node('MatMul', ['c', 'integers'], ['d']),
      node('MatMul', ['d', 'vector'], ['e']),
      node('Mul', ['factor', 'embedding'], ['computed']),
      node('MatMul', ['e', 'computed'], ['f']),
      node('MatMul', ['f', 'sparse'], ['g']),
      node('FusedMatMul', ['g', 'contrib'], ['y'], { domain: 'com.microsoft' }),
    ],
  };
  expect(sorted(graph)).toEqual({
    prunable: [],
    skipped: {
      embedding: 'used by Gather, Mul; add it with --include',
      lstm: 'used by LSTM; add it with --include',
      quantised: 'quantised to int8',
      int4: 'quantised to int4',
      integers: 'its elements are of type int64',
      vector: 'has rank 1, a weight has at least 2; add it with --include',
      factor: 'used by Mul; add it with --include',
      computed: 'computed at run time by Mul from constants',
      unused: 'not used by any node',
      contrib: 'used by com.microsoft.FusedMatMul; add it with --include',
      result: 'used by a graph output; add it with --include',
      sparse: 'stored as a sparse tensor',
    },
  });
});

describe('subgraphs', () => {
  const branch = (name: string, graph: Graph) => create(AttributeProtoSchema, { name, type: 5, g: graph });
  const inner: Graph = {
    initializer: [tensor('W')],
    node: [node('MatMul', ['x', 'W'], ['m']), node('MatMul', ['m', 'outer'], ['y'])],
    output: [{ name: 'y' }],
  };
  const graph: Graph = {
    initializer: [tensor('W'), tensor('outer')],
    node: [
      node('If', ['c'], ['r'], {
        name: 'if_1',
        attribute: [branch('then_branch', inner), branch('else_branch', inner)],
      }),
      node('Loop', ['n', 'c'], ['s'], { attribute: [branch('body', inner)] }),
    ],
  };

  test('have paths, hide names and see the names around them', () => {
    expect(sorted(graph)).toEqual({
      prunable: ['outer: MatMul', 'if_1/then_branch/W: MatMul', 'if_1/else_branch/W: MatMul', 'loop_1/body/W: MatMul'],
      skipped: { W: 'not used by any node' },
    });
  });

  test('globs match paths, and * matches slashes', () => {
    const { prunable, skipped } = sorted(graph, { exclude: ['if_1/*'], include: ['W'] });
    expect(prunable).toEqual(['W: none', 'outer: MatMul', 'loop_1/body/W: MatMul']);
    expect(skipped['if_1/then_branch/W']).toBe('excluded by "if_1/*"');
  });
});

test('functions: inputs and attributes are those of each call', () => {
  const reference = create(AttributeProtoSchema, { name: 'value', type: 4, refAttrName: 'kernel' });
  const functions = [
    {
      name: 'Linear',
      domain: 'local',
      input: ['a', 'weight'],
      output: ['out'],
      attribute: ['kernel'],
      node: [
        node('Constant', [], ['k'], { attribute: [reference] }),
        node('MatMul', ['a', 'weight'], ['b']),
        node('MatMul', ['b', 'k'], ['out']),
      ],
    },
  ];
  const kernel = () => create(AttributeProtoSchema, { name: 'kernel', type: 4, t: tensor('') });
  const graph = {
    initializer: [tensor('w1'), tensor('w2')],
    node: [
      node('Linear', ['x', 'w1'], ['y'], { domain: 'local', attribute: [kernel()] }),
      node('Linear', ['y', 'w2'], ['z'], { domain: 'local', attribute: [kernel()] }),
    ],
  };
  expect(sorted(graph, {}, { functions }).prunable).toEqual([
    'w1: MatMul',
    'w2: MatMul',
    'Linear/k: MatMul',
    'Linear/k#2: MatMul',
  ]);
});

test('a function that calls itself is refused; one that nobody calls has its weights named', () => {
  const self = [{ name: 'F', domain: 'l', output: ['y'], node: [node('F', ['x'], ['y'], { domain: 'l' })] }];
  const calls = { node: [node('F', ['x'], ['y'], { domain: 'l' })] };
  expect(() => sorted(calls, {}, { functions: self })).toThrowError(expect.objectContaining({ code: 'INVALID_MODEL' }));
  const value = create(AttributeProtoSchema, { name: 'value', type: 4, t: tensor('K') });
  const idle = [{ name: 'G', domain: 'l', node: [node('Constant', [], ['k'], { attribute: [value] })] }];
  expect(sorted({}, {}, { functions: idle }).skipped).toEqual({
    K: 'in an attribute, a function that is not called, or a training graph',
  });
});

test('a graph that goes in circles ends', () => {
  const circle = [node('Identity', ['a'], ['b']), node('Identity', ['b'], ['a']), node('MatMul', ['x', 'a'], ['y'])];
  expect(sorted({ node: circle })).toEqual({ prunable: [], skipped: {} });
  const entered = [node('Identity', ['a'], ['c']), ...circle];
  expect(sorted({ node: entered, output: [{ name: 'c' }] })).toEqual({ prunable: [], skipped: {} });
});

describe('filters', () => {
  const graph: Graph = {
    initializer: [tensor('layer1.weight'), tensor('layer2.weight'), tensor('bias', [3]), tensor('q', [2, 3], 3)],
    node: [node('Gemm', ['x', 'layer1.weight', 'bias'], ['a']), node('Gemm', ['a', 'layer2.weight'], ['y'])],
  };

  test('exclude is stronger than include', () => {
    const { prunable, skipped } = sorted(graph, { include: ['*'], exclude: ['layer1.*'] });
    expect(prunable).toEqual(['layer2.weight: Gemm', 'bias: Gemm']);
    expect(skipped).toEqual({ 'layer1.weight': 'excluded by "layer1.*"', q: 'quantised to int8' });
  });

  test('a pattern that matches nothing is refused with the nearest names', () => {
    try {
      sorted(graph, { exclude: ['layer1.wieght'] });
      expect.unreachable();
    } catch (error) {
      if (!(error instanceof SecateurError)) throw error;
      expect([error.code, error.fields.option]).toEqual(['UNKNOWN_TENSOR', 'exclude']);
      expect(error.message).toContain('did you mean "layer1.weight"');
    }
  });
});

test.each([
  ['a negative dimension', [-1, 2]],
  ['too many elements', [2 ** 40, 2 ** 40]],
  ['absurdly many dimensions', Array.from({ length: 5000 }, () => 2 ** 40)],
])('%s is refused with the name', (_, dims) => {
  const graph = { initializer: [tensor('w', dims)], node: [node('MatMul', ['x', 'w'], ['y'])] };
  expect(() => sorted(graph)).toThrowError(/tensor w /);
});

test('two initializers of one name are refused', () => {
  expect(() => sorted({ initializer: [tensor('w'), tensor('w')] })).toThrowError(/one initializer with the name w/);
});

test('parameters: floating-point and quantised elements, not shapes or scalars', () => {
  const initializer = [tensor('w'), tensor('b', [3]), tensor('s', []), tensor('q', [2, 2], 3), tensor('shape', [4], 7)];
  expect(findPrunable(modelWith({ initializer })).parameters).toBe(6 + 3 + 4);
});
