// `import`: files of Darknet to a model that other commands read.
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { newModel } from '../../models/index.js';
import { darknetOrder, writeWeights, yolov4TinyCfg } from '../models/darknet/files.js';
import { fillNormal } from '../models/support.js';
import { secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();

describe('import', () => {
  it('writes a model that inspect reads, with its heads and names', async () => {
    const [cfg, weights, names] = ['a.cfg', 'a.weights', 'a.names'].map((name) => temporary.path(name)) as [
      string,
      string,
      string,
    ];
    const output = temporary.path('a.onnx');
    writeFileSync(cfg, yolov4TinyCfg(416, 2));
    writeFileSync(names, 'cat\ndog\n');
    const built = newModel('yolov4', { tiny: true, classes: 2, size: 64 }, fillNormal);
    writeWeights(weights, darknetOrder(built), { seen: 32_032_000 });
    const made = await secateur(['import', cfg, weights, '-o', output, '--size', '64', '--names', names, '--json']);
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: '' });
    const result = JSON.parse(made.stdout);
    expect(result).toMatchObject({ cfg, weights, output, convolutions: 21, seen: 32_032_000 });
    expect(result.metadata).toMatchObject({ architecture: 'yolov4-tiny', classes: '2', names: '["cat","dog"]' });
    const { stdout } = await secateur(['inspect', output, '--json']);
    expect(JSON.parse(stdout).parameters).toBe(result.parameters);
  });

  it('says what is wrong', async () => {
    const [cfg, weights] = [temporary.path('b.cfg'), temporary.path('b.weights')];
    writeFileSync(cfg, yolov4TinyCfg(416, 2).replace('filters=32', 'filters=many'));
    writeWeights(weights, []);
    const { code, stderr } = await secateur(['import', cfg, weights, '-o', temporary.path('b.onnx')]);
    expect(code).toBe(1);
    expect(stderr).toBe(`secateur: ${cfg}, line 11: Expected filters to be a whole number of 1 or more, got "many"\n`);
    expect((await secateur(['import', cfg, weights])).code).toBe(2);
  });
});
