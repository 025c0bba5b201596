// Models as they come: shared and Constant weights, other float types, subgraphs, several outputs, old IR versions, data
// files; and models in which there is nothing to remove, or nearly everything.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { compact } from '../../src/compact/compact.js';
import { float } from '../../src/onnx/build/attributes.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { encodeFloats } from '../../src/onnx/elements.js';
import { readModel } from '../../src/onnx/load.js';
import { materialize } from '../../src/onnx/payload.js';
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
} from '../../src/onnx/schema/onnx_pb.js';
import { saved, temporaryFolder } from '../onnx/helpers.js';
import { build, compacted, dims, noise, operators, run } from './support.js';

const DEAD = [1, 4, 5];
const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** x [2, 6] -> a (dead neurons) -> Relu -> b. */
function perceptron(options: { opset?: number } = {}) {
  return build(
    [2, 6],
    (l, x) => l.gemm(l.graph.op('Relu', [l.gemm(x, [6, 8], { dead: DEAD, name: 'a' })]), [8, 4], { name: 'b' }),
    options,
  );
}

describe('nothing or everything', () => {
  it('a compact model is copied byte for byte', async () => {
    const { path, report } = await compacted(perceptron());
    expect(report.layers).toHaveLength(2);
    const output = join(dirname(path), 'again.onnx');
    const again = await compact(path, { output, measure: false });
    expect(again.layers).toEqual([]);
    expect(digest(output)).toBe(digest(path));
  });

  it('the output may be the input', async () => {
    const { model, feeds } = perceptron();
    const path = saved(model);
    const before = await run(path, feeds);
    await compact(path, { output: path, measure: false });
    expect(readdirSync(dirname(path))).toEqual(['model.onnx']);
    expect(dims(readModel(path).model, 'a.weight')).toEqual([5, 6]);
    const after = await run(path, feeds);
    for (const [index, value] of (before['b']!.data as Float32Array).entries()) {
      expect((after['b']!.data as Float32Array)[index]).toBeCloseTo(value, 5);
    }
  });

  it('a layer that is dead altogether keeps one neuron, and the outputs', async () => {
    const all = Array.from({ length: 8 }, (_, index) => index);
    const built = build([2, 6], (l, x) =>
      l.gemm(l.graph.op('Relu', [l.gemm(x, [6, 8], { dead: all, name: 'a' })]), [8, 4], { name: 'b' }),
    );
    const { model, report } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([1, 6]);
    expect(dims(model, 'b.weight')).toEqual([4, 1]);
    expect(report.left).toContainEqual({
      layer: 'a',
      side: 'output',
      channels: 1,
      reason: 'the last channel of a value that is read',
    });
  });

  it('a convolution that is dead altogether, in the middle', async () => {
    const all = Array.from({ length: 8 }, (_, index) => index);
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { kernel: 3, pad: 1, name: 'a' });
      const b = l.conv(l.graph.op('Relu', [a]), [8, 8], { kernel: 3, pad: 1, dead: all, name: 'b' });
      return l.conv(l.graph.op('Sigmoid', [b]), [8, 4], { kernel: 3, pad: 1, name: 'c' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([1, 3, 3, 3]);
    expect(dims(model, 'b.weight')).toEqual([1, 1, 3, 3]);
    expect(dims(model, 'c.weight')).toEqual([4, 1, 3, 3]);
  });

  it('a model whose output is constant', async () => {
    const built = build([2, 6], (l, x) => l.gemm(x, [6, 3], { dead: [0, 1, 2], name: 'a' }));
    const { model, report } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([3, 6]);
    expect(report.left).toContainEqual({
      layer: 'a',
      side: 'output',
      channels: 3,
      reason: 'a channel of a graph output',
    });
  });

  it('nodes that nobody reads go', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      l.conv(x, [3, 8], { name: 'unread' });
      return l.conv(x, [3, 4], { name: 'a' });
    });
    const { model, report } = await compacted(built);
    expect(operators(model)).toEqual(['Conv']);
    expect(report.layers).toEqual([
      { name: 'unread', op: 'Conv', inputs: { before: 3, after: 0 }, outputs: { before: 8, after: 0 } },
    ]);
  });
});

describe('couplings', () => {
  it('a residual Add whose other side lives is left and named', async () => {
    const built = build([2, 8, 6, 6], (l, x) => {
      const stem = l.conv(x, [8, 8], { name: 'stem' });
      const branch = l.conv(l.graph.op('Relu', [stem]), [8, 8], { dead: DEAD, name: 'branch' });
      return l.conv(l.graph.op('Add', [stem, branch], {}, { name: 'join' }), [8, 4], { name: 'head' });
    });
    const { model, report } = await compacted(built);
    expect(dims(model, 'branch.weight')).toEqual([8, 8, 1, 1]);
    const reason = 'coupled by Add join with a channel that lives';
    expect(report.left).toEqual([{ layer: 'branch', side: 'output', channels: 3, reason }]);
  });

  it('a graph output inside keeps its channels', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      return [a, l.conv(l.graph.op('Relu', [a]), [8, 4], { name: 'b' })];
    });
    const { model, report } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([8, 3, 1, 1]);
    expect(report.left).toContainEqual({
      layer: 'a',
      side: 'output',
      channels: 3,
      reason: 'a channel of a graph output',
    });
  });

  it('an operator that is not looked into needs all channels, and goes where it is not read', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      const shuffled = l.graph.op('DepthToSpace', [a], { blocksize: 2 }, { name: 'shuffle' });
      const gone = l.graph.op('DepthToSpace', [l.conv(x, [3, 8], { name: 'gone' })], { blocksize: 2 });
      return l.conv(l.graph.op('Concat', [shuffled, gone], { axis: 1 }), [4, 4], { unread: [2, 3], name: 'b' });
    });
    const { model, report } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([8, 3, 1, 1]);
    expect(dims(model, 'gone.weight')).toBeUndefined();
    expect(operators(model).filter((op) => op === 'DepthToSpace')).toHaveLength(1);
    expect(report.left).toMatchObject([
      { layer: 'a', channels: 3, reason: 'read by DepthToSpace shuffle, which needs all channels' },
    ]);
  });

  it('channels of the graph input stay, and are named', async () => {
    const built = build([2, 3, 6, 6], (l, x) => l.conv(x, [3, 8], { unread: [1], name: 'a' }));
    const { model, report } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([8, 3, 1, 1]);
    expect(report.left).toEqual([{ layer: 'a', side: 'input', channels: 1, reason: 'a channel of a graph input' }]);
  });

  it('values that a branch of If reads keep their channels', async () => {
    const branch = (name: string, op: string): GraphProto => {
      const inner = GraphBuilder.create(name);
      inner.output(inner.op(op, ['captured'], {}, { name: `${name}.y` }), 'float32', []);
      return inner.graph;
    };
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: DEAD, name: 'a' });
      l.graph.op('Identity', [a], {}, { outputs: ['captured'] });
      const attributes = { then_branch: branch('then', 'Relu'), else_branch: branch('else', 'Neg') };
      const chosen = l.graph.op('If', [l.graph.constant([], Uint8Array.of(1))], attributes, { name: 'if' });
      return l.conv(chosen, [8, 4], { name: 'b' });
    });
    const condition = built.model.graph!.node.find(
      ({ opType, attribute }) => opType === 'Constant' && attribute[0]?.t?.dataType === TensorProto_DataType.UINT8,
    );
    condition!.attribute[0]!.t!.dataType = TensorProto_DataType.BOOL;
    const { model, report } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([8, 3, 1, 1]);
    expect(report.left).toMatchObject([{ layer: 'a', channels: 3, reason: expect.stringContaining('If if') }]);
  });
});

describe('weights of all kinds', () => {
  it('vectors that layers share become two where the layers lose different channels', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const bias = l.vector(8, 'shared');
      const a = l.graph.op('Conv', [x, l.weight([8, 3, 1, 1], { dead: DEAD }, 'a'), bias]);
      const b = l.graph.op('Conv', [l.graph.op('Relu', [a]), l.weight([8, 8, 1, 1], { dead: [0] }, 'b'), bias]);
      return l.conv(b, [8, 4], { name: 'c' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'a')).toEqual([5, 3, 1, 1]);
    expect(dims(model, 'b')).toEqual([7, 5, 1, 1]);
    expect(dims(model, 'shared')).toEqual([5]);
    expect(dims(model, 'shared_1')).toEqual([7]);
  });

  it('weights that layers share lose what all of them can do without', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const w = l.weight([8, 3, 1, 1], { dead: DEAD }, 'w');
      const [a, b] = [l.graph.op('Conv', [x, w]), l.graph.op('Conv', [l.graph.op('Neg', [x]), w])];
      return l.graph.op('Add', [l.conv(a, [8, 4], { name: 'c' }), l.conv(b, [8, 4], { unread: [2], name: 'd' })]);
    });
    const { model } = await compacted(built);
    expect(dims(model, 'w')).toEqual([5, 3, 1, 1]);
    expect(dims(model, 'd.weight')).toEqual([4, 5, 1, 1]);
  });

  it('weights in Constant nodes', async () => {
    const built = build([2, 6], (l, x) => {
      const w = noise(48, 5);
      for (const row of DEAD) w.fill(0, row * 6, row * 6 + 6);
      const a = l.graph.op('Gemm', [x, l.graph.constant([8, 6], w), l.graph.constant([8], noise(8, 6))], { transB: 1 });
      return l.gemm(l.graph.op('Tanh', [a]), [8, 4], { name: 'b' });
    });
    const { model } = await compacted(built);
    const shapes = model
      .graph!.node.filter(({ opType }) => opType === 'Constant')
      .map(({ attribute }) => attribute[0]!.t!.dims.map(Number));
    expect(shapes).toEqual([[5, 6], [5]]);
    expect(dims(model, 'b.weight')).toEqual([4, 5]);
  });

  it.each([
    ['float16', TensorProto_DataType.FLOAT16, 2e-3],
    ['float64', TensorProto_DataType.DOUBLE, 1e-7],
  ] as const)('%s', async (_, dataType, tolerance) => {
    const built = perceptron({ opset: 13 });
    const graph = built.model.graph!;
    for (const tensor of graph.initializer) {
      const floats = new Float32Array(new Uint8Array(tensor.rawData).buffer);
      tensor.rawData = encodeFloats(dataType, Float64Array.from(floats))!;
      tensor.dataType = dataType;
    }
    const cast = (input: string, output: string, to: number) =>
      create(NodeProtoSchema, {
        opType: 'Cast',
        input: [input],
        output: [output],
        attribute: [{ name: 'to', type: 2, i: BigInt(to) }],
      });
    graph.node[0]!.input[0] = 'x.cast';
    graph.node.at(-1)!.output[0] = 'b.cast';
    graph.node.unshift(cast('x', 'x.cast', dataType));
    graph.node.push(cast('b.cast', 'b', TensorProto_DataType.FLOAT));
    const { model } = await compacted(built, { tolerance });
    expect(dims(model, 'a.weight')).toEqual([5, 6]);
    expect(dims(model, 'b.weight')).toEqual([4, 5]);
    expect(model.graph!.initializer.every((tensor) => tensor.dataType === dataType)).toBe(true);
  });

  it('initializers that are inputs too, as before IR version 4', async () => {
    const { model, feeds } = perceptron({ opset: 8 });
    const inputs = model.graph!.initializer.map(({ name, dims: sizes }) => ({ name, sizes: sizes.map(Number) }));
    const graph = GraphBuilder.extend(model.graph!);
    for (const { name, sizes } of inputs) {
      const probe = GraphBuilder.create('probe');
      probe.input(name, 'float32', sizes);
      graph.graph.input.push(probe.graph.input[0]!);
    }
    model.irVersion = 3n;
    const { model: after } = await compacted({ model, feeds });
    expect(dims(after, 'a.weight')).toEqual([5, 6]);
    const declared = after.graph!.input.find(({ name }) => name === 'a.weight')!.type!.value;
    const shape = declared.case === 'tensorType' ? declared.value.shape!.dim.map(({ value }) => value.value) : [];
    expect(shape).toEqual([5n, 6n]);
  });

  it('initializers that a caller may replace stay', async () => {
    const { model, feeds } = perceptron();
    const probe = GraphBuilder.create('probe');
    probe.input('a.weight', 'float32', [8, 6]);
    model.graph!.input.push(probe.graph.input[0]!);
    const { model: after } = await compacted({ model, feeds });
    expect(dims(after, 'a.weight')).toEqual([8, 6]);
  });

  it('--exclude keeps the channels of a layer, --include those of all others', async () => {
    const excluded = await compacted(perceptron(), { exclude: ['a.*'] });
    expect(excluded.report.layers).toEqual([]);
    expect(excluded.report.left).toContainEqual({
      layer: 'a',
      side: 'output',
      channels: 3,
      reason: 'excluded by "a.*"',
    });
    const included = await compacted(perceptron(), { include: ['b.weight'] });
    expect(included.report.layers).toEqual([]);
    const both = await compacted(perceptron(), { include: ['a.weight', 'b.weight'] });
    expect(both.report.layers).toHaveLength(2);
    await expect(compact(saved(perceptron().model), { output: 'o.onnx', exclude: ['nope'] })).rejects.toMatchObject({
      code: 'UNKNOWN_TENSOR',
    });
  });

  it('NaN and infinity are weights that are not zero', async () => {
    const built = perceptron();
    const weight = built.model.graph!.initializer.find(({ name }) => name === 'a.weight')!;
    new Float32Array(weight.rawData.buffer, weight.rawData.byteOffset, 48)[DEAD[0]! * 6] = Number.NaN;
    const path = saved(built.model);
    const output = join(dirname(path), 'compact.onnx');
    await compact(path, { output, measure: false });
    expect(dims(readModel(output).model, 'a.weight')).toEqual([6, 6]);
  });

  it('declared shapes are corrected, and the rest of the model stays', async () => {
    const { model, feeds } = perceptron();
    const info = GraphBuilder.create('info');
    info.input('a', 'float32', ['N', 8]);
    info.input('gone', 'float32', [3]);
    model.graph!.valueInfo = info.graph.input;
    model.docString = 'about';
    model.metadataProps = [create(StringStringEntryProtoSchema, { key: 'k', value: 'v' })];
    model.graph!.$unknown = [{ no: 77777, wireType: 0, data: Uint8Array.of(5) }];
    const { model: after } = await compacted({ model, feeds });
    expect(after).toMatchObject({ docString: 'about', metadataProps: [{ key: 'k', value: 'v' }] });
    expect(after.graph!.$unknown).toMatchObject([{ no: 77777 }]);
    expect(after.graph!.valueInfo).toHaveLength(1);
    const type = after.graph!.valueInfo[0]!.type!.value;
    expect(type.case === 'tensorType' && type.value.shape!.dim.map(({ value }) => value.value)).toEqual(['N', 5n]);
  });
});

/** Moves the payloads of all tensors above `least` bytes to a data file. */
function externalized(model: ModelProto, folder: string, name: string): string {
  const chunks: Uint8Array[] = [];
  let position = 0;
  for (const tensor of model.graph!.initializer) {
    if (tensor.rawData.byteLength < 64) continue;
    const entries = {
      location: name,
      offset: String(position),
      length: String(tensor.rawData.byteLength),
      checksum: 'stale',
    };
    tensor.externalData = Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    );
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
    chunks.push(tensor.rawData);
    position += tensor.rawData.byteLength;
    tensor.rawData = new Uint8Array(0);
  }
  writeFileSync(join(folder, name), Buffer.concat(chunks));
  const path = join(folder, 'model.onnx');
  writeFileSync(path, toBinary(ModelProtoSchema, model));
  return path;
}

describe('external data', () => {
  it('goes to one data file beside the output', async () => {
    const folder = temporaryFolder();
    const { model, feeds } = perceptron();
    const path = externalized(model, folder, 'weights.bin');
    const before = await run(path, feeds);
    const output = join(folder, 'compact.onnx');
    const report = await compact(path, { output, measure: false });
    expect(readdirSync(folder).sort()).toEqual(['compact.onnx', 'compact.onnx.data', 'model.onnx', 'weights.bin']);
    expect(report.after.bytes).toBe(statSync(output).size + statSync(`${output}.data`).size);
    const after = await run(output, feeds);
    for (const [index, value] of (before['b']!.data as Float32Array).entries()) {
      expect((after['b']!.data as Float32Array)[index]).toBeCloseTo(value, 5);
    }
  });

  it('in place, the data that is read is not overwritten', async () => {
    const folder = temporaryFolder();
    const { model, feeds } = perceptron();
    const path = externalized(model, folder, 'model.onnx.data');
    const before = await run(path, feeds);
    await compact(path, { output: path, measure: false });
    const after = await run(path, feeds);
    for (const [index, value] of (before['b']!.data as Float32Array).entries()) {
      expect((after['b']!.data as Float32Array)[index]).toBeCloseTo(value, 5);
    }
    expect(readdirSync(folder).sort()).toEqual(['model.onnx', 'model.onnx.1.data', 'model.onnx.data']);
  });

  it('the output is not the data that is read', async () => {
    const folder = temporaryFolder();
    const path = externalized(perceptron().model, folder, 'weights.bin');
    const output = join(folder, 'weights.bin');
    const before = digest(output);
    await expect(compact(path, { output })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(digest(output)).toBe(before);
    expect(readdirSync(folder).sort()).toEqual(['model.onnx', 'weights.bin']);
  });

  it('a model with nothing to remove keeps its tensors', async () => {
    const folder = temporaryFolder();
    const { model, feeds } = build([2, 6], (l, x) => l.gemm(x, [6, 32], { name: 'a' }));
    const path = externalized(model, folder, 'weights.bin');
    const output = join(folder, 'copy.onnx');
    const report = await compact(path, { output, measure: false });
    expect(report.layers).toEqual([]);
    expect(existsSync(`${output}.data`)).toBe(true);
    const [before, after] = [await run(path, feeds), await run(output, feeds)];
    expect(after['a']!.data).toEqual(before['a']!.data);
  });
});

describe('failures', () => {
  it('data that is missing or elsewhere', async () => {
    const folder = temporaryFolder();
    const path = externalized(perceptron().model, folder, 'weights.bin');
    rmSync(join(folder, 'weights.bin'));
    await expect(compact(path, { output: join(folder, 'o.onnx') })).rejects.toMatchObject({ code: 'EXTERNAL_DATA' });
    expect(readdirSync(folder)).toEqual(['model.onnx']);
  });

  it('an output that the runtime does not load is not left in place', async () => {
    const built = build([2, 6], (l, x) => l.gemm(l.gemm(x, [6, 8], { dead: DEAD, name: 'a' }), [8, 4], { name: 'b' }));
    built.model.graph!.node.push(create(NodeProtoSchema, { opType: 'NoSuchOperator', input: ['a'], output: ['z'] }));
    const info = GraphBuilder.create('z');
    info.input('z', 'float32', ['N', 8]);
    built.model.graph!.output.push(info.graph.input[0]!);
    const path = saved(built.model);
    const output = join(dirname(path), 'compact.onnx');
    await expect(compact(path, { output })).rejects.toMatchObject({ code: 'RUNTIME' });
    expect(readdirSync(dirname(path))).toEqual(['model.onnx']);
  });

  it('an aborted call leaves nothing', async () => {
    const path = saved(perceptron().model);
    const output = join(dirname(path), 'compact.onnx');
    await expect(compact(path, { output, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
    expect(readdirSync(dirname(path))).toEqual(['model.onnx']);
  });

  it('wrong options and files', async () => {
    const path = saved(perceptron().model);
    const rejects = (options: object) => expect(compact(path, options as never)).rejects;
    await rejects({}).toMatchObject({ code: 'INVALID_OPTION' });
    await rejects({ output: 'o.onnx', outptu: 1 }).toMatchObject({ code: 'INVALID_OPTION' });
    await rejects({ output: 'o.onnx', batch: 0 }).toMatchObject({ code: 'INVALID_OPTION' });
    await rejects({ output: 'o.onnx', measure: 1 }).toMatchObject({ code: 'INVALID_OPTION' });
    await rejects({ output: '/nonexistent/o.onnx' }).toMatchObject({ code: 'IO', fields: { errno: 'ENOENT' } });
    await expect(compact('missing.onnx', { output: 'o.onnx' })).rejects.toMatchObject({ code: 'IO' });
  });
});

describe('the report', () => {
  it('times both models in turn', async () => {
    const { report } = await compacted(perceptron(), { measure: true, batch: 3 });
    const { latency, batch, difference, largest } = report.comparison!;
    expect(batch).toBe(3);
    expect(difference!).toBeLessThan(1e-5 * Math.max(1, largest!));
    expect(latency!.runs).toBeGreaterThanOrEqual(5);
    expect(latency!.before).toBeGreaterThan(0);
    expect(latency!.after).toBeGreaterThan(0);
  });

  it('has parameters, multiply-accumulates and bytes of the files', async () => {
    const { report, path } = await compacted(perceptron());
    expect(report.before).toMatchObject({
      parameters: 48 + 8 + 32 + 4,
      macs: { dense: 80, effective: 62, unknown: [] },
    });
    expect(report.after).toMatchObject({ parameters: 30 + 5 + 20 + 4, macs: { dense: 50, effective: 50 } });
    expect(report.after.bytes).toBe(statSync(path).size);
    const inside = readModel(path);
    materialize(inside);
    await InferenceSession.create(path);
  });

  it('leaves multiply-accumulates unknown where space is dynamic', async () => {
    const built = build([2, 3, 6, 6], (l, x) =>
      l.conv(l.conv(x, [3, 8], { dead: DEAD, name: 'a' }), [8, 4], { name: 'b' }),
    );
    const { value } = built.model.graph!.input[0]!.type!;
    if (value.case === 'tensorType') {
      value.value.shape!.dim[2]!.value = { case: 'dimParam', value: 'H' };
      value.value.shape!.dim[3]!.value = { case: 'dimParam', value: 'W' };
    }
    const { report, model } = await compacted(built);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 1, 1]);
    expect(report.after.macs).toMatchObject({ dense: null, effective: null });
    expect(report.after.macs.unknown[0]).toBe('a: the dimension H is dynamic');
  });
});

describe('LeakyRelu and friends with unusual attributes', () => {
  it('follow constants with the attributes that the node has', async () => {
    const built = build([2, 6], (l, x) => {
      let y = l.gemm(x, [6, 8], { dead: DEAD, name: 'a' });
      y = l.graph.op('Selu', [y], { alpha: float(2), gamma: float(0.5) });
      y = l.graph.op('HardSigmoid', [y], { alpha: float(0.3), beta: float(0.4) });
      y = l.graph.op('Celu', [y], { alpha: float(0.5) });
      y = l.graph.op('ThresholdedRelu', [y], { alpha: float(0.2) });
      return l.gemm(y, [8, 4], { name: 'b' });
    });
    expect(dims((await compacted(built)).model, 'b.weight')).toEqual([4, 5]);
  });
});
