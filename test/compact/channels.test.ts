// Dead channels go and constants are folded, exactly, for each way that channels are made and read.
import { describe, expect, it } from 'vitest';
import { build, compacted, dims } from './support.js';

describe('output channels whose weights are zero', () => {
  it('go from Conv, BatchNormalization and what reads them, without padding', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { kernel: 3, pad: 1, dead: [1, 4, 5], name: 'a' });
      return l.conv(l.graph.op('Relu', [l.batchNorm(a, 8)]), [8, 4], { name: 'b' });
    });
    const { report, model } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([5, 3, 3, 3]);
    expect(dims(model, 'a.bias')).toEqual([5]);
    expect(dims(model, 'norm.scale')).toEqual([5]);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 1, 1]);
    expect(report.left).toEqual([]);
    expect(report.layers).toEqual([
      { name: 'a', op: 'Conv', inputs: { before: 3, after: 3 }, outputs: { before: 8, after: 5 } },
      { name: 'b', op: 'Conv', inputs: { before: 8, after: 5 }, outputs: { before: 4, after: 4 } },
    ]);
  });

  it('are merged into one that carries their constants into a padded Conv', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: [1, 4, 5], name: 'a' });
      return l.conv(l.graph.op('Sigmoid', [a]), [8, 4], { kernel: 3, pad: 1, name: 'b' });
    });
    const { report, model } = await compacted(built);
    expect(dims(model, 'a.weight')).toEqual([6, 3, 1, 1]);
    expect(dims(model, 'b.weight')).toEqual([4, 6, 3, 3]);
    expect(report.left).toEqual([{ layer: 'a', side: 'output', channels: 1, reason: 'carries constants into Conv b' }]);
  });

  it('go altogether before a padded Conv where they are zero', async () => {
    const built = build([2, 3, 6, 6], (l, x) => {
      const a = l.conv(x, [3, 8], { dead: [1, 4, 5], bias: false, name: 'a' });
      return l.conv(l.graph.op('Relu', [a]), [8, 4], { kernel: 3, pad: 1, name: 'b' });
    });
    const { model } = await compacted(built);
    expect(dims(model, 'b.weight')).toEqual([4, 5, 3, 3]);
  });
});
