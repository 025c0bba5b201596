// `secateur compact` from outside: its JSON contract, what people read, failures; and multiply-accumulates of `inspect`.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, it } from 'vitest';
import { ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { build } from '../compact/support.js';
import { secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
let model = '';

beforeAll(() => {
  model = temporary.path('model.onnx');
  const { model: built } = build([2, 3, 8, 8], (l, x) => {
    const stem = l.conv(x, [3, 8], { dead: [1, 2], name: 'stem' });
    const inner = l.conv(l.graph.op('Relu', [stem]), [8, 8], { dead: [0, 4, 5], name: 'inner' });
    const branch = l.conv(l.graph.op('Relu', [inner]), [8, 8], { dead: [6], name: 'branch' });
    return l.conv(l.graph.op('Add', [stem, branch], {}, { name: 'join' }), [8, 4], { name: 'head' });
  });
  writeFileSync(model, toBinary(ModelProtoSchema, built));
});

describe('compact', () => {
  it('--json prints one object that holds to the contract', async () => {
    const output = temporary.path('json.onnx');
    const { code, stdout, stderr } = await secateur(['compact', model, '-o', output, '--batch', '2', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ model, output, comparison: { batch: 2 } });
    expect(report.layers).toContainEqual({
      name: 'inner',
      op: 'Conv',
      inputs: { before: 8, after: 8 },
      outputs: { before: 8, after: 5 },
    });
    expect(report.left).toContainEqual({
      layer: 'branch',
      side: 'output',
      channels: 1,
      reason: 'coupled by Add join with a channel that lives',
    });
    expect(report.after.parameters).toBeLessThan(report.before.parameters);
    expect(report.after.macs.dense).toBeLessThan(report.before.macs.dense);
    expect(report.comparison.latency.runs).toBeGreaterThan(0);
    expect(report.comparison.difference).toBeLessThan(1e-5);
  });

  it.each([60, 80, 200])('prints tables that fit %d columns', async (columns) => {
    const output = temporary.path(`${columns}.onnx`);
    const { code, stdout } = await secateur(['compact', model, '-o', output], { env: { COLUMNS: String(columns) } });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^inner +Conv +8 +8 -> 5$/m);
    expect(stdout).toMatch(/^parameters +\d+ +\d+ +\d+\.\d\d%$/m);
    expect(stdout).toContain('onnxruntime-node takes');
    for (const line of stdout.split('\n').filter((text) => !text.startsWith('  '))) {
      expect(line.length).toBeLessThanOrEqual(columns);
    }
  });

  it('--no-measure does not time, --quiet prints nothing', async () => {
    const output = temporary.path('quiet.onnx');
    const timed = await secateur(['compact', model, '-o', output, '--no-measure']);
    expect(timed.stdout).toContain('On random input the outputs differ by at most');
    expect(timed.stdout).not.toContain('onnxruntime-node takes');
    const quiet = await secateur(['compact', model, '-o', output, '--no-measure', '-q']);
    expect(quiet).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('says that there is nothing to remove', async () => {
    const [first, second] = [temporary.path('first.onnx'), temporary.path('second.onnx')];
    await secateur(['compact', model, '-o', first, '-q', '--no-measure']);
    const { stdout } = await secateur(['compact', first, '-o', second, '--no-measure']);
    expect(stdout).toContain(`Nothing to remove in ${first}`);
    expect(readFileSync(second).equals(readFileSync(first))).toBe(true);
  });

  it('says that a packed model has to be unpacked first', async () => {
    const [dense, packed] = [temporary.path('dense.onnx'), temporary.path('packed.onnx')];
    const output = temporary.path('unpacked.onnx');
    const dead = Array.from({ length: 56 }, (_, index) => index);
    const { model: built } = build([1, 64], (l, x) => l.gemm(l.gemm(x, [64, 64], { dead }), [64, 4]));
    writeFileSync(dense, toBinary(ModelProtoSchema, built));
    await secateur(['pack', dense, '-o', packed, '-q']);
    const compacted = await secateur(['compact', packed, '-o', output, '--no-measure']);
    expect(compacted.code).toBe(0);
    expect(compacted.stderr).toContain(`${packed} is packed: unpack it first (secateur unpack)`);
    expect((await secateur(['compact', dense, '-o', output, '--no-measure'])).stderr).toBe('');
  });

  it.each([
    [['compact', 'MODEL'], 2, /Expected -o FILE/],
    [['compact', 'MODEL', '-o', 'OUT', '--batch', '0'], 2, /Expected --batch/],
    [['compact', 'missing.onnx', '-o', 'OUT'], 1, /no such file/],
    [['compact', 'MODEL', '-o', 'OUT', '--exclude', 'nope'], 1, /Expected exclude to match/],
  ])('%j fails with one sentence', async (args, wanted, sentence) => {
    const output = temporary.path('failed.onnx');
    const real = args.map((arg) => (arg === 'MODEL' ? model : arg).replace('OUT', output));
    const { code, stdout, stderr } = await secateur(real);
    expect({ code, stdout }).toEqual({ code: wanted, stdout: '' });
    expect(stderr).toMatch(sentence);
    expect(readdirSync(dirname(output)).filter((name) => name.includes('failed'))).toEqual([]);
  });
});

describe('inspect', () => {
  it('counts multiply-accumulates, dense and effective', async () => {
    const { stdout } = await secateur(['inspect', model, '--json']);
    const pixels = 64;
    expect(JSON.parse(stdout).macs).toEqual({
      dense: pixels * (3 * 8 + 8 * 8 + 8 * 8 + 8 * 4),
      effective: pixels * (3 * 6 + 8 * 5 + 8 * 7 + 8 * 4),
      unknown: [],
    });
    expect((await secateur(['inspect', model])).stdout).toContain(
      '11,776 multiply-accumulates an image, 9,344 of them',
    );
  });
});
