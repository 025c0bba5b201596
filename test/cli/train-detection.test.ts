// `train`, `retrain` and `prune --recalibrate-bn` with `--task detection` as users run them, on pictures that a small network
// can learn; and a step on coco128 where it is there.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { classNamesOf } from '../../src/detection/heads.js';
import { readModel } from '../../src/onnx/load.js';
import { writeModel } from '../../src/onnx/write.js';
import { smallDetector, squares } from '../detection/squares.js';
import { secateur, secateurJson, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
let data = '';
let model = '';

/** 24 pictures of COCO's kind, each with a coloured square. */
beforeAll(async () => {
  [data, model] = [temporary.path('squares'), temporary.path('small.onnx')];
  await writeModel(model, smallDetector());
  const { images, classes, remove } = await squares(24);
  mkdirSync(join(data, 'images'), { recursive: true });
  for (const { id, path } of images) copyFileSync(path, join(data, 'images', `${id}.png`));
  const file = {
    images: images.map(({ id, width, height }) => ({ id, file_name: `${id}.png`, width, height })),
    categories: classes.map((name, index) => ({ id: index + 1, name })),
    annotations: images.flatMap(({ id, labels }) =>
      labels.map(({ category, box }) => ({ image_id: id, category_id: category + 1, bbox: box })),
    ),
  };
  writeFileSync(join(data, 'instances.json'), JSON.stringify(file));
  await remove();
});

const detection = ['--task', 'detection', '--threads', '1'];
const training = [...detection, '--batch', '8', '--lr', '3e-3', '--seed', '1'];

const json = (...args: string[]) => secateurJson(...args, '-q');

describe('--task detection', { timeout: 300_000 }, () => {
  it('trains a detector, measures it as eval does, and prunes it while training', async () => {
    const [trained, pruned] = [temporary.path('trained.onnx'), temporary.path('pruned.onnx')];
    const common = ['--data', data, ...training, '--measure-every', '20'];
    const { history, before, after } = await json('train', model, ...common, '--epochs', '40', '-o', trained);
    expect(history.epochs).toHaveLength(40);
    expect(history.epochs.at(-1).loss).toBeLessThan(history.epochs[0].loss / 2);
    expect(after.metrics.ap50).toBeGreaterThan(before.metrics.ap50 + 0.2);
    expect(classNamesOf(readModel(trained).model)).toEqual(['red', 'green', 'blue']);
    const measured = await json('eval', trained, '--data', data, ...detection);
    expect(after.metrics).toEqual({ ap50: measured.ap50, ap: measured.ap });
    // Of 24 pictures with a box each, one detection a picture that is sure leaves less to find.
    const sure = await json('eval', trained, '--data', data, ...detection, '--score', '0.9', '--top', '1');
    expect(sure.ar100).toBeLessThan(measured.ar100);
    const epochs = ['--iterations', '2', '--retrain-epochs', '2'];
    const report = await json('retrain', trained, '--data', data, ...training, ...epochs, '-r', '0.5', '-o', pruned);
    expect(report.sparsity).toBeCloseTo(0.5, 4);
    expect(report.after.metrics.ap50).not.toBeNull();
  });

  it.each([
    [['train', '--loss', 'mse'], /Expected --loss to be used with --task classification/],
    [['train', '--augment', 'crop:2'], /Expected --augment to be flip or mosaic with --task detection, got "crop:2"/],
    [['train', '--box-gain', '-1'], /Expected --box-gain to be a number in \[0, 1000000\], got -1/],
    [['train', '--match-threshold', '0'], /Expected --match-threshold to be a number in/],
    [['train', '--size', '40'], /Expected size to be a multiple of 16, got 40/],
    [['eval', '--score', '1'], /Expected --score to be a number in \[0, 0.9999\], got 1/],
    [['eval', '--iou', '1.5'], /Expected --iou to be a number in \[0, 1\], got 1.5/],
    [['eval', '--top', '0'], /Expected --top to be an integer from 1 to 1000000, got 0/],
  ])('refuses %j', async ([command = '', ...options], message) => {
    const output = command === 'eval' ? [] : ['-o', temporary.path('refused.onnx')];
    const { code, stderr } = await secateur([command, model, '--data', data, ...detection, ...options, ...output]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) });
  });

  it("recalibrates BatchNormalization on pictures of each network's own size", async () => {
    const [tiny = '', larger = '', output = ''] = ['tiny', 'larger', 'out'].map((name) =>
      temporary.path(`${name}.onnx`),
    );
    await json('new', 'yolov4', '--tiny', '--size', '32', '--classes', '3', '-o', tiny);
    await json('new', 'yolov4', '--tiny', '--size', '64', '--classes', '3', '-o', larger);
    const wanted = ['--recalibrate-bn', '--data', data, ...detection];
    const { recalibrated } = await json('prune', tiny, '-r', '0.5', '-o', output, ...wanted);
    expect(recalibrated).toEqual({ nodes: 19, batches: 2, samples: 24 });
    const { models } = await json('sweep', tiny, larger, '-r', '0.5', ...wanted);
    for (const { points } of models) {
      expect(points.map((point: { recalibrated: boolean }) => point.recalibrated)).toEqual([false, true]);
    }
  });
});

const coco = fileURLToPath(new URL('../../../shared/data/coco128', import.meta.url));

it.skipIf(!existsSync(coco))('trains on coco128', { timeout: 300_000 }, async () => {
  const [tiny, output] = [temporary.path('tiny80.onnx'), temporary.path('coco.onnx')];
  await json('new', 'yolov4', '--tiny', '--size', '64', '-o', tiny);
  const options = [...detection, '--batch', '32', '--epochs', '1', '--report', temporary.path('coco.json')];
  const report = await json('train', tiny, '--data', coco, ...options, '-o', output);
  expect(report.history.epochs).toHaveLength(1);
  expect(JSON.parse(readFileSync(temporary.path('coco.json'), 'utf8'))).toEqual(report);
  expect(classNamesOf(readModel(output).model)).toHaveLength(80);
});
