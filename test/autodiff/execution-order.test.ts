// The order in which the runtime takes the nodes of a training graph, from its own profile: kernels are turned when they
// are read, and gradients computed as soon as they can be.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { buildTrainingGraph } from '../../src/autodiff/training-graph.js';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import type { NodeProto } from '../../src/onnx/schema/onnx_pb.js';
import { Session } from '../../src/runtime/session.js';
import { noise, probe } from './support.js';

const layers = ['a', 'b', 'c'];

/** Three convolutions and a sum of squares. */
async function trainingGraph() {
  const g = GraphBuilder.create('net');
  let x = g.input('x', 'float32', ['N', 4, 8, 8]);
  for (const layer of layers) {
    const weights = g.initializer(`${layer}.weight`, [4, 4, 3, 3], noise(144, 3));
    x = g.op('Relu', [g.op('Conv', [x, weights], { pads: [1, 1, 1, 1], kernel_shape: [3, 3] }, { name: layer })]);
  }
  g.output(g.op('ReduceSum', [g.op('Mul', [x, x])], { keepdims: 0 }, { outputs: ['loss'] }), 'float32', []);
  const model = modelOf(g.graph, { opset: 17 });
  const feeds = { x: new Tensor('float32', noise(512, 1), [2, 4, 8, 8]) };
  const wrt = layers.map((layer) => `${layer}.weight`);
  return buildTrainingGraph(model, { loss: 'loss', wrt, shapes: await probe(model, feeds) }).model;
}

/** Names of nodes in the order in which they ran. */
async function orderOf(model: Awaited<ReturnType<typeof trainingGraph>>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'secateur-order-'));
  try {
    const session = await Session.open(model, { threads: 1, profilePrefix: join(folder, 'profile') });
    const weights = Object.fromEntries(
      layers.map((layer) => [`${layer}.weight`, session.tensor(noise(144, 3), [4, 4, 3, 3])]),
    );
    await session.run({ x: session.tensor(noise(512, 1), [2, 4, 8, 8]), ...weights });
    await session.close();
    const [file = ''] = readdirSync(folder);
    const events: { cat: string; name: string; ts: number }[] = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    return events
      .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'))
      .toSorted((a, b) => a.ts - b.ts)
      .map(({ name }) => name.slice(0, -'_kernel_time'.length));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

it('keeps little in memory', async () => {
  const model = await trainingGraph();
  const order = await orderOf(model);
  const nodes = model.graph!.node;
  const at = ({ name }: NodeProto) => order.indexOf(name);
  const named = (output: string) => nodes.find((node) => node.output.includes(output));
  const turned = nodes.filter((node) => node.opType === 'Conv' && named(node.input[1]!)?.opType === 'Transpose');
  expect(turned).toHaveLength(2); // dX of b and c
  for (const conv of turned) expect(at(named(conv.input[1]!)!)).toBeGreaterThan(at(named(conv.input[0]!)!));
  // Of each layer the last node of dW runs before the convolution that gives the dX of the layer before.
  const ends = layers.map((layer) => Math.max(...nodes.filter(({ name }) => name.startsWith(`${layer}/grad`)).map(at)));
  const [dxOfB, dxOfC] = turned.map(at).toSorted((a, b) => b - a) as [number, number];
  expect(ends[2]).toBeLessThan(dxOfB);
  expect(dxOfC).toBeLessThan(dxOfB);
  expect(ends[1]).toBeLessThan(ends[0]!);
});
