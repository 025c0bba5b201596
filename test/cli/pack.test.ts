// `secateur pack`, `unpack` and `prune --format` from outside: the JSON contracts, the sentences, and wrong usage.
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
let model = '';
let pruned = '';

beforeAll(async () => {
  model = temporary.path('lenet5.onnx');
  pruned = temporary.path('pruned.onnx');
  await secateur(['new', 'lenet5', '-o', model, '--quiet']);
  await secateur(['prune', model, '-o', pruned, '--ratio', '0.98', '--quiet']);
});

describe('pack and unpack', () => {
  it('print one object that holds to the contract', async () => {
    const small = temporary.path('small.onnx');
    const packing = await secateur(['pack', pruned, '-o', small, '--values', 'codebook8', '--json']);
    expect({ code: packing.code, stderr: packing.stderr }).toEqual({ code: 0, stderr: '' });
    const report = JSON.parse(packing.stdout);
    expect(report).toMatchObject({ model: pruned, output: small, format: 'packed', values: 'codebook8' });
    expect(report.bytes).toEqual({ before: statSync(pruned).size, after: statSync(small).size });
    expect(report.loadSeconds).toBeGreaterThan(0);
    for (const tensor of report.tensors) {
      const keys = ['name', 'shape', 'dtype', 'weights', 'nonzeros', 'encoding', 'values', 'bytes', 'error'];
      expect(Object.keys(tensor)).toEqual(keys);
    }
    const dense = temporary.path('dense.onnx');
    const unpacking = JSON.parse((await secateur(['unpack', small, '-o', dense, '--json'])).stdout);
    expect(unpacking).toMatchObject({ model: small, output: dense, bytes: { before: statSync(small).size } });
    expect(unpacking.tensors).toContain('fc1.weight');
  });

  it('print what became of each tensor, and whether the file loads', async () => {
    const { stdout } = await secateur(['pack', pruned, '-o', temporary.path('table.onnx')]);
    expect(stdout).toMatch(/^fc1\.weight .* gaps8 /m);
    expect(stdout).toMatch(/Wrote .*table\.onnx: .* kB, before 1\.73 MB\. ONNX Runtime loads it in /);
    const sparse = await secateur(['pack', pruned, '-o', temporary.path('sparse.onnx'), '--format', 'sparse']);
    expect(sparse.stdout).toMatch(/^fc1\.weight .* sparse /m);
    const unpacked = await secateur(['unpack', temporary.path('sparse.onnx'), '-o', temporary.path('x.onnx')]);
    expect(unpacked.stdout).toMatch(/Made \d tensors dense\. Wrote/);
  });

  it.each([
    [['pack'], /missing required argument/],
    [['pack', 'm.onnx'], /Expected -o FILE/],
    [['pack', 'm.onnx', '-o', 'x', '--format', 'dense'], /Expected --format to be one of packed, sparse/],
    [['pack', 'm.onnx', '-o', 'x', '--values', 'int4'], /Expected --values to be one of f32, f16, codebook8/],
    [['prune', 'm.onnx', '-o', 'x', '-r', '0.5', '--values', 'f16'], /Expected --format packed with --values/],
  ])('%j is wrong usage', async (args, message) => {
    const { code, stdout, stderr } = await secateur(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('fail where there is nothing to unpack', async () => {
    const { code, stderr } = await secateur(['unpack', pruned, '-o', temporary.path('never.onnx')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/Expected .*pruned\.onnx to have packed or sparse tensors, got none/);
  });
});

describe('prune --format', () => {
  it.each(['packed', 'sparse'])('%s leaves the packed file and nothing else', async (format) => {
    const folder = temporary.path(format);
    mkdirSync(folder);
    const output = path.join(folder, 'out.onnx');
    const { stdout, stderr } = await secateur([
      'prune',
      model,
      '-o',
      output,
      '-r',
      '0.98',
      '--format',
      format,
      '--json',
    ]);
    expect(stderr).toBe('');
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ model, output, ratio: 0.98, packed: { model, output, format } });
    expect(report.packed.bytes.after).toBe(statSync(output).size);
    expect(readdirSync(folder)).toEqual(['out.onnx']);
    const again = temporary.path(`${format}-again.onnx`);
    await secateur(['pack', pruned, '-o', again, '--format', format, '--quiet']);
    expect(statSync(again).size).toBe(statSync(output).size);
  });

  it('dense says what makes the file smaller, and by how much', async () => {
    const { stdout } = await secateur(['prune', model, '-o', temporary.path('said.onnx'), '-r', '0.98']);
    expect(stdout).toMatch(/is as large as the input.*`secateur pack .*said\.onnx -o small\.onnx` makes it about \d/);
  });
});

describe('inspect', () => {
  it('gives the sizes that the file has and would have', async () => {
    const { bytes } = JSON.parse((await secateur(['inspect', pruned, '--json'])).stdout);
    expect(bytes.file).toBe(statSync(pruned).size);
    expect(bytes.packed).toBeLessThan(bytes.sparse);
    expect(bytes.sparse).toBeLessThan(bytes.file / 10);
    expect(bytes.zipped).toBeLessThan(bytes.file / 5);
    const { stdout } = await secateur(['inspect', pruned]);
    expect(stdout).toMatch(/File 1\.73 MB; zipped about .*, sparse about .*, packed .* \(secateur pack\)/);
  });
});
