// `eval --task detection` as users run it: on a detector that can be followed by hand, and pictures of plain colours.
import { mkdirSync, writeFileSync } from 'node:fs';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeModel } from '../../src/onnx/write.js';
import { cellColours } from '../detection/cell-colours.js';
import { secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
let data = '';
let model = '';

beforeAll(async () => {
  [data, model] = [temporary.path('squares'), temporary.path('cells.onnx')];
  await writeModel(model, cellColours());
  mkdirSync(`${data}/images`, { recursive: true });
  const red = { create: { width: 32, height: 32, channels: 3, background: 'red' } } as const;
  await sharp({ create: { width: 64, height: 64, channels: 3, background: 'blue' } })
    .composite([{ input: red, left: 32, top: 0 }])
    .png()
    .toFile(`${data}/images/1.png`);
  const box = (category_id: number, bbox: number[]) => ({ image_id: 1, category_id, bbox });
  writeFileSync(
    `${data}/instances.json`,
    JSON.stringify({
      images: [{ id: 1, file_name: '1.png', width: 64, height: 64 }],
      categories: [
        { id: 5, name: 'red' },
        { id: 9, name: 'yellow' },
      ],
      annotations: [box(5, [32, 0, 32, 32]), box(9, [0, 32, 32, 32])],
    }),
  );
});

const run = (...more: string[]) => secateur(['eval', model, '--data', data, '--threads', '1', ...more]);
const detection = ['--task', 'detection'];

describe('eval --task detection', { timeout: 60_000 }, () => {
  it('prints precision by size and by class', async () => {
    const { code, stdout, stderr } = await run(...detection, '--per-class');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/cells\.onnx: AP 50\.00%, AP50 50\.00%, on 1 picture of squares at 64x64\./);
    expect(stdout).toMatch(/^all +50\.00% +50\.00% +50\.00% +50\.00% +50\.00% +50\.00%$/m);
    expect(stdout).toMatch(/^large \(from 96x96\) +- +-$/m);
    expect(stdout).toMatch(/^red +1 +100\.00% +100\.00% +100\.00%$/m);
    expect(stdout).toMatch(/^yellow +1 +0\.00% +0\.00% +0\.00%$/m);
  });

  it('gives the metrics as JSON, those of classes only when asked for', async () => {
    const { stdout } = await run(...detection, '--json', '--split', 'train');
    const metrics = JSON.parse(stdout);
    expect(metrics).toEqual({
      task: 'detection',
      pictures: 1,
      size: 64,
      ...{ ap: 0.5, ap50: 0.5, ap75: 0.5, apSmall: 0.5, apMedium: 0.5, apLarge: null },
      ...{ ar1: 0.5, ar10: 0.5, ar100: 0.5, arSmall: 0.5, arMedium: 0.5, arLarge: null },
    });
    const detailed = JSON.parse((await run(...detection, '--json', '--per-class', '--batch', '1')).stdout);
    expect(detailed).toMatchObject({
      ...metrics,
      categories: [
        { name: 'red', ap: 1 },
        { name: 'yellow', ap: 0 },
      ],
    });
  });

  it.each([
    [[...detection, '--loss', 'mse'], /Expected --loss to be used with --task classification, got "--task detection"/],
    [['--per-class'], /Expected --per-class to be used with --task detection/],
    [['--size', '64'], /Expected --size to be used with --task detection/],
    [[...detection, '--size', '65'], /Expected size to be a multiple of 32/],
    [['--task', 'detecting'], /Expected --task to be/],
  ])('refuses %j', async (options, message) => {
    const { code, stderr } = await run(...options);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});
