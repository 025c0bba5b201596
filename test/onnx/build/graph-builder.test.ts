// The graph builder: names, scopes, constants, attributes, and bytes that are not copied.
import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { SecateurError } from '../../../src/errors.js';
import { attribute, float } from '../../../src/onnx/build/attributes.js';
import { GraphBuilder } from '../../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../../src/onnx/build/model.js';
import { tensor } from '../../../src/onnx/build/tensors.js';
import { AttributeProto_AttributeType as AttributeType, ModelProtoSchema } from '../../../src/onnx/schema/onnx_pb.js';

describe('GraphBuilder', () => {
  it('builds a graph that the runtime computes', async () => {
    const graph = GraphBuilder.create('affine');
    const x = graph.input('x', 'float32', ['N', 2]);
    const weights = graph.initializer('weight', [2, 2], Float32Array.of(1, 2, 3, 4));
    const product = graph.op('Gemm', [x, weights, null], { transB: 1, alpha: float(2) });
    const [low = '', high = ''] = graph.ops('Split', [product], 2, { axis: 1 });
    graph.output(graph.op('Sub', [high, low], {}, { outputs: ['y'] }), 'float32', ['N', 1]);
    const session = await InferenceSession.create(toBinary(ModelProtoSchema, modelOf(graph.graph, { opset: 17 })));
    const outputs = await session.run({ x: new Tensor('float32', Float32Array.of(1, 1, 1, 0), [2, 2]) });
    expect([...Object.keys(outputs)]).toEqual(['y']);
    expect(outputs['y']?.data).toEqual(Float32Array.of(8, 4));
  });

  it('names nodes and values after scope and operator, with the lowest free suffix', () => {
    const graph = GraphBuilder.create('names');
    const block = graph.scope('stage1').scope('block2');
    expect(graph.op('Relu', ['x'])).toBe('Relu');
    expect(graph.op('Relu', ['x'])).toBe('Relu_1');
    expect(block.op('Relu', ['x'])).toBe('stage1.block2.Relu');
    expect(block.op('Conv', ['x', 'w'], {}, { name: 'conv1' })).toBe('stage1.block2.conv1');
    expect(block.initializer('conv1.weight', [1], Float32Array.of(1))).toBe('stage1.block2.conv1.weight');
    expect(graph.ops('Split', ['x'], 2)).toEqual(['Split.0', 'Split.1']);
    expect(graph.fresh('Relu')).toBe('Relu_2');
    expect(graph.graph.node.map((node) => node.name)).toContain('stage1.block2.conv1');
  });

  it('gives no name out twice even when a suffix was taken by hand', () => {
    const graph = GraphBuilder.create('names');
    graph.input('y_1', 'float32', []);
    expect([graph.fresh('y'), graph.fresh('y'), graph.fresh('y')]).toEqual(['y', 'y_2', 'y_3']);
    expect(() => graph.input('y_2', 'float32', [])).toThrow(SecateurError);
  });

  it('shares equal constants among scopes and keeps different types, shapes and values apart', () => {
    const graph = GraphBuilder.create('constants');
    const axes = graph.int64([2, 3]);
    expect(graph.scope('inner').int64([2, 3])).toBe(axes);
    const others = [graph.int64(2), graph.int64([2]), graph.float32(2), graph.float32(-0), graph.float32(0)];
    expect(new Set([axes, ...others]).size).toBe(6);
    expect(graph.graph.node.map((node) => node.opType)).toEqual(new Array(6).fill('Constant'));
    expect(graph.graph.initializer).toEqual([]);
  });

  it('does not share anything between builders', () => {
    const first = GraphBuilder.create('a');
    const second = GraphBuilder.create('b');
    expect(first.int64(1)).toBe(second.int64(1));
    expect(first.graph.node).toHaveLength(1);
    expect(second.graph.node).toHaveLength(1);
  });

  it('extends a graph without using its names again', () => {
    const first = GraphBuilder.create('forward');
    const x = first.input('x', 'float32', ['N']);
    const y = first.op('Relu', [x]);
    const second = GraphBuilder.extend(first.graph);
    expect(second.op('Relu', [y])).toBe('Relu_1');
    expect(second.fresh('x')).toBe('x_1');
    expect(first.graph.node).toHaveLength(2);
  });

  it('leaves out undefined attributes and writes missing inputs as empty names', () => {
    const graph = GraphBuilder.create('inputs');
    graph.op('Clip', ['x', null, 'high'], { unused: undefined });
    expect(graph.graph.node[0]?.input).toEqual(['x', '', 'high']);
    expect(graph.graph.node[0]?.attribute).toEqual([]);
  });
});

describe('tensor', () => {
  it('is a view of the array, which may itself be a view', () => {
    const backing = new Float32Array(8);
    const view = backing.subarray(2, 6);
    const proto = tensor('w', [2, 2], view);
    expect(proto.rawData.buffer).toBe(backing.buffer);
    expect(proto.rawData.byteOffset).toBe(8);
    expect(proto.rawData.byteLength).toBe(16);
  });

  it('refuses a shape of another size', () => {
    expect(() => tensor('w', [2, 3], new Float32Array(5))).toThrow(
      'Expected 6 elements for tensor w of shape [2, 3], got 5',
    );
  });
});

describe('attribute', () => {
  it.each([
    [3, AttributeType.INT, { i: 3n }],
    [[1, -2], AttributeType.INTS, { ints: [1n, -2n] }],
    [[], AttributeType.INTS, { ints: [] }],
    [float(1), AttributeType.FLOAT, { f: 1 }],
    [float(0.1), AttributeType.FLOAT, { f: Math.fround(0.1) }],
    [Float32Array.of(1, 2), AttributeType.FLOATS, { floats: [1, 2] }],
    ['nearest', AttributeType.STRING, { s: new TextEncoder().encode('nearest') }],
    [['a', 'b'], AttributeType.STRINGS, { strings: ['a', 'b'].map((text) => new TextEncoder().encode(text)) }],
    [tensor('t', [1], Float32Array.of(1)), AttributeType.TENSOR, { t: { name: 't' } }],
    [GraphBuilder.create('g').graph, AttributeType.GRAPH, { g: { name: 'g' } }],
  ])('%o', (value, type, fields) => {
    expect(attribute('a', value)).toMatchObject({ name: 'a', type, ...fields });
  });

  it('refuses a fraction that is not marked as a float', () => {
    expect(() => attribute('alpha', 0.1)).toThrow('a FLOAT attribute is written float(0.1)');
  });
});

describe('modelOf', () => {
  it('writes the IR version that came with the operator set', () => {
    const { graph } = GraphBuilder.create('empty');
    const versions = [11, 13, 17, 19, 21].map((opset) => modelOf(graph, { opset }).irVersion);
    expect(versions).toEqual([6n, 7n, 8n, 9n, 10n]);
  });

  it('lists all operator sets and the metadata', () => {
    const { graph } = GraphBuilder.create('empty');
    const model = modelOf(graph, { opset: 17, domains: { 'com.microsoft': 1 }, metadata: { seed: '3' } });
    expect(model.opsetImport.map(({ domain, version }) => [domain, version])).toEqual([
      ['', 17n],
      ['com.microsoft', 1n],
    ]);
    expect(model.metadataProps.map(({ key, value }) => [key, value])).toEqual([['seed', '3']]);
    expect(model.producerName).toBe('secateur');
  });
});
