// Sessions: loading from all kinds of sources, running, and what the runtime refuses.
import { toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { hasRuntime, Session } from '../../src/runtime/session.js';
import { SILENCE, withSilence } from '../../src/runtime/silent.js';

function doubling() {
  const graph = GraphBuilder.create('double');
  const x = graph.input('x', 'float32', ['N', 2]);
  graph.output(graph.op('Mul', [x, graph.float32(2)], {}, { outputs: ['y'] }), 'float32', ['N', 2]);
  return modelOf(graph.graph, { opset: 17 });
}

describe('a session', () => {
  it('runs a model and its bytes alike', async () => {
    expect(await hasRuntime()).toBe(true);
    const model = doubling();
    for (const source of [model, toBinary(ModelProtoSchema, model)]) {
      const session = await Session.open(source, { threads: 1 });
      expect(session.inputs).toEqual([{ name: 'x', type: 'float32', dims: ['N', 2] }]);
      const outputs = await session.run({ x: session.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]) });
      expect(outputs['y']?.data).toEqual(Float32Array.of(2, 4, 6, 8));
      await session.close();
    }
  });

  it.each(['planned', 'reused', 'returned'] as const)('writes into memory given for an output, %s', async (memory) => {
    const session = await Session.open(doubling(), { threads: 1, memory });
    const own = new Float32Array(2);
    const x = session.tensor(Float32Array.of(3, 5), [1, 2]);
    for (let run = 0; run < 3; run++) {
      const { y } = await session.run({ x }, { y: session.tensor(own.fill(0), [1, 2]) });
      expect([...own]).toEqual([6, 10]);
      expect(y?.data).toBe(own); // no copy beside it
    }
    await session.close();
  });

  it.each([doubling(), withSilence(doubling())])('writes, and says when it could not', async (model) => {
    const session = await Session.open(model, { threads: 1, memory: 'returned' });
    const own = new Float32Array(2);
    const x = session.tensor(Float32Array.of(3, 5), [1, 2]);
    for (let run = 0; run < 2; run++) {
      await session.write({ x }, { y: session.tensor(own.fill(0), [1, 2]) });
      expect([...own]).toEqual([6, 10]);
    }
    const wrong = session.write({ x: session.tensor(new Float32Array(3), [1, 3]) }, { y: session.tensor(own, [1, 2]) });
    await expect(wrong).rejects.toMatchObject({ code: 'RUNTIME' });
    await session.close();
  });

  it('returns nothing of a model with silence', async () => {
    const session = await Session.open(withSilence(doubling()), { threads: 1 });
    const own = new Float32Array(2);
    const x = session.tensor(Float32Array.of(3, 5), [1, 2]);
    const run = session.run({ x }, { [SILENCE]: null, y: session.tensor(own, [1, 2]) });
    await expect(run).rejects.toThrow(/tensor type/); // What Session.write takes for success: outputs are written.
    expect([...own]).toEqual([6, 10]);
    await session.close();
  });

  it('says what the runtime refuses', async () => {
    await expect(Session.open(new Uint8Array([1, 2, 3]))).rejects.toMatchObject({ code: 'RUNTIME' });
    await expect(Session.open('nowhere.onnx')).rejects.toMatchObject({
      code: 'RUNTIME',
      message: expect.stringContaining('Expected nowhere.onnx to load in ONNX Runtime'),
    });
    const session = await Session.open(doubling(), { threads: 1 });
    const wrong = session.tensor(Float32Array.of(1, 2, 3), [1, 3]);
    await expect(session.run({ x: wrong })).rejects.toMatchObject({ code: 'RUNTIME' });
    await session.close();
  });
});
