// Random small networks with random channels set to zero: the outputs stay, what is dead goes or is reported, and a
// second compaction finds nothing more.
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compact } from '../../src/compact/compact.js';
import type { Value } from '../../src/onnx/build/graph-builder.js';
import type { ModelProto, TensorProto } from '../../src/onnx/schema/onnx_pb.js';
import { build, type Compacted, compacted, type Layers } from './support.js';

/** A choice between 0 and 1; the graph grows by them. */
type Draw = () => number;

interface Feature {
  value: Value;
  channels: number;
}

const pick = <T>(draw: Draw, list: readonly T[]): T => list[Math.floor(draw() * list.length)]!;
const channelsBelow = (draw: Draw, channels: number, share: number): number[] =>
  Array.from({ length: channels }, (_, index) => index).filter(() => draw() < share);

function conv(l: Layers, x: Feature, draw: Draw, channels = 1 + Math.floor(draw() * 6)): Feature {
  const kernel = pick(draw, [1, 3]);
  const zeros = {
    dead: channelsBelow(draw, channels, pick(draw, [0, 0.4, 1])),
    unread: channelsBelow(draw, x.channels, pick(draw, [0, 0.3])),
  };
  const options = { kernel, pad: kernel === 3 ? 1 : 0, bias: draw() < 0.5, ...zeros };
  return { value: l.conv(x.value, [x.channels, channels], options), channels };
}

function depthwise(l: Layers, x: Feature, draw: Draw): Feature {
  const dead = channelsBelow(draw, x.channels, 0.3);
  return { ...x, value: l.conv(x.value, [x.channels, x.channels], { kernel: 3, pad: 1, group: x.channels, dead }) };
}

/** Two groups, where the channels are even. */
function grouped(l: Layers, x: Feature, draw: Draw): Feature {
  if (x.channels % 2 === 1) return depthwise(l, x, draw);
  const channels = 2 * (1 + Math.floor(draw() * 3));
  const half = channelsBelow(draw, channels / 2, 0.4);
  const dead = draw() < 0.5 ? [...half, ...half.map((channel) => channel + channels / 2)] : half;
  const unread = channelsBelow(draw, x.channels / 2, 0.3);
  return { value: l.conv(x.value, [x.channels, channels], { group: 2, dead, unread, kernel: 3, pad: 1 }), channels };
}

const activations = ['Relu', 'Sigmoid', 'LeakyRelu', 'Tanh', 'HardSwish', 'Identity', 'Softplus'];

function step(l: Layers, x: Feature, earlier: readonly Feature[], draw: Draw): Feature {
  const other = pick(draw, earlier);
  switch (Math.floor(draw() * 10)) {
    case 0:
      return { ...x, value: l.batchNorm(x.value, x.channels) };
    case 1:
      return { ...x, value: l.graph.op(pick(draw, activations), [x.value]) };
    case 2:
      return {
        ...x,
        value: l.graph.op('Concat', [x.value, other.value], { axis: 1 }),
        channels: x.channels + other.channels,
      };
    case 3: {
      const y = conv(l, other, draw, x.channels);
      return { ...x, value: l.graph.op(pick(draw, ['Add', 'Mul', 'Sub']), [x.value, y.value]) };
    }
    case 4:
      return depthwise(l, x, draw);
    case 5: {
      const from = Math.floor(draw() * x.channels);
      const inputs = [[from], [x.channels], [1]].map((list) => l.graph.int64(list));
      return { value: l.graph.op('Slice', [x.value, ...inputs]), channels: x.channels - from };
    }
    case 6: {
      const pooled = l.graph.op('MaxPool', [x.value], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
      return { ...x, value: pooled };
    }
    case 7: {
      const pads = l.graph.int64([0, 1, 0, 0, 0, 2, 0, 0]);
      return { value: l.graph.op('Pad', [x.value, pads]), channels: x.channels + 3 };
    }
    case 8:
      return grouped(l, x, draw);
    default:
      return conv(l, x, draw);
  }
}

function network(l: Layers, x: Value, draw: Draw): Value[] {
  const features: Feature[] = [conv(l, { value: x, channels: 3 }, draw)];
  const steps = 2 + Math.floor(draw() * 8);
  for (let count = 0; count < steps; count++) features.push(step(l, features.at(-1)!, features, draw));
  const last = features.at(-1)!;
  const flat = l.graph.op('Flatten', [last.value], { axis: 1 });
  const hidden = l.gemm(flat, [last.channels * 16, 7], {
    dead: channelsBelow(draw, 7, 0.4),
    unread: channelsBelow(draw, last.channels * 16, 0.1),
  });
  const logits = l.gemm(l.graph.op(pick(draw, activations), [hidden]), [7, 3], { unread: channelsBelow(draw, 7, 0.2) });
  // Sometimes a feature inside is an output as well.
  return draw() < 0.2 ? [logits, l.graph.op('Identity', [pick(draw, features).value])] : [logits];
}

/** Rows of zeros in the weights of the compact model. */
function deadRows({ graph }: ModelProto): number {
  const tensors = new Map((graph?.initializer ?? []).map((tensor) => [tensor.name, tensor]));
  const weights = (graph?.node ?? []).filter(({ opType }) => opType === 'Conv' || opType === 'Gemm');
  return weights.reduce((sum, { input }) => sum + emptyRows(tensors.get(input[1] ?? '')!), 0);
}

function emptyRows({ dims, rawData }: TensorProto): number {
  const values = new Float32Array(new Uint8Array(rawData).buffer);
  const rows = Number(dims[0]);
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) => values.subarray(row * width, (row + 1) * width)).filter((row) =>
    row.every((value) => value === 0),
  ).length;
}

function reportedRows({ report }: Compacted): number {
  return report.left.filter(({ side }) => side === 'output').reduce((sum, { channels }) => sum + channels, 0);
}

describe('random networks', () => {
  it('compute the same with fewer channels', { timeout: 300_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 - 1 }), async (seed) => {
        let state = seed;
        const draw = () => {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          return (state >>> 8) / 2 ** 24;
        };
        const result = await compacted(build([2, 3, 4, 4], (l, x) => network(l, x, draw)));
        expect(deadRows(result.model)).toBe(reportedRows(result));
        const output = join(dirname(result.path), 'again.onnx');
        const again = await compact(result.path, { output, measure: false });
        expect(again.layers).toEqual([]);
        expect(again.after.parameters).toBe(result.report.after.parameters);
      }),
      { numRuns: Number(process.env['SECATEUR_RUNS'] ?? 60) },
    );
  });
});
