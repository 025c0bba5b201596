// `secateur artifacts` and `secateur grad`: what they write is loaded and run, and what they refuse leaves nothing behind.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { secateurJson as json, secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();
const lenet = () => temporary.path('lenet5.onnx');
const files = ['checkpoint', 'eval_model.onnx', 'optimizer_model.onnx', 'training_model.onnx'];

beforeAll(async () => {
  expect((await secateur(['new', 'lenet5', '-o', lenet()])).code).toBe(0);
});

/** A model of x [N, 4] with two outputs, through operators that have no gradient if asked for. */
function writeTwoHeads(path: string, { odd = false } = {}): void {
  const g = GraphBuilder.create('heads');
  const x = g.input('x', 'float32', ['N', 4]);
  const w = g.initializer(
    'w',
    [4, 3],
    Float32Array.from({ length: 12 }, (_, index) => index / 12),
  );
  const hidden = g.op('MatMul', [x, w], {}, { name: 'hidden' });
  const bent = odd ? g.op('Cosh', [g.op('Sinh', [hidden], {}, { name: 'first' })], {}, { name: 'second' }) : hidden;
  g.output(g.op('Identity', [bent], {}, { outputs: ['scores'] }), 'float32', ['N', 3]);
  g.output(g.op('Sigmoid', [bent], {}, { outputs: ['gates'] }), 'float32', ['N', 3]);
  writeFileSync(path, toBinary(ModelProtoSchema, modelOf(g.graph, { opset: 17 })));
}

describe('artifacts', () => {
  it('writes four files and says what is trained', async () => {
    const folder = temporary.path('artifacts');
    const report = await json('artifacts', lenet(), '-o', folder, '--frozen', 'conv1.*');
    expect(readdirSync(folder).sort()).toEqual(files);
    expect(report).toMatchObject({ model: lenet(), output: folder, inputs: ['input', 'labels'], target: 'labels' });
    expect(report).toMatchObject({ loss: 'loss', lossOutput: 'logits', optimizer: 'adamw' });
    expect(report.trainable.map(({ name }: { name: string }) => name)).toHaveLength(6);
    expect(report.frozen).toEqual([
      { name: 'conv1.weight', shape: [20, 1, 5, 5] },
      { name: 'conv1.bias', shape: [20] },
    ]);
    // The evaluation model is ordinary ONNX.
    const session = await InferenceSession.create(report.files.evaluation);
    expect(session.inputNames.slice(0, 3)).toEqual(['input', 'labels', 'conv1.weight']);
    await session.release();
  });

  it('prints a table that fits', async () => {
    const folder = temporary.path('shown');
    const { code, stdout } = await secateur(['artifacts', lenet(), '-o', folder], { env: { COLUMNS: '60' } });
    expect(code).toBe(0);
    expect(stdout).toContain('431,080 weights in 8 tensors to train with adamw');
    for (const line of stdout.split('\n')) if (!line.includes(folder)) expect(line.length).toBeLessThanOrEqual(60);
  });

  it('refuses, and leaves what was there', async () => {
    const [two, odd] = [temporary.path('two.onnx'), temporary.path('odd.onnx')];
    writeTwoHeads(two);
    writeTwoHeads(odd, { odd: true });
    const folder = temporary.path('kept');
    mkdirSync(folder);
    writeFileSync(temporary.path('kept', 'checkpoint'), 'mine');
    const refused: [string[], number, RegExp][] = [
      [[two], 2, /Expected .*one of the outputs "scores", "gates", got none/],
      [[two, '--loss-output', 'score'], 2, /one of the outputs "scores", "gates", got "score"/],
      [[odd, '--loss-output', 'scores'], 1, /operators that have a gradient, got Sinh \(first\), Cosh \(second\)/],
      [[two, '--loss-output', 'scores', '--frozen', 'w'], 2, /Expected the model to have something to train/],
      [[two, '--loss-output', 'scores', '--trainable', 'v*'], 1, /Expected trainable to match the name of an init/],
      [
        [two, '--loss-output', 'scores', '--optimizer', 'adam'],
        2,
        /Expected --optimizer to be one of adamw, sgd, got "adam"/,
      ],
      [[two, '--loss', 'mse', '--loss-output', 'gates', '--lr', '0'], 2, /Expected --lr to be a number in/],
      [[two, '--shape', 'x=twoxfour'], 2, /Expected --shape to be an input and its sizes, .*got "x=twoxfour"/],
      [[temporary.path('none.onnx')], 1, /there is no such file/],
    ];
    for (const [args, code, message] of refused) {
      const outcome = await secateur(['artifacts', ...args, '-o', folder]);
      expect(outcome.stderr).toMatch(message);
      expect({ code: outcome.code, stdout: outcome.stdout }).toEqual({ code, stdout: '' });
    }
    expect(readdirSync(folder)).toEqual(['checkpoint']);
    expect(readFileSync(temporary.path('kept', 'checkpoint'), 'utf8')).toBe('mine');
    expect((await secateur(['artifacts', two])).stderr).toMatch(/Expected -o FOLDER, the folder to write to/);
  });

  it('takes the other losses, and an output beside', async () => {
    const two = temporary.path('two.onnx');
    const folder = temporary.path('regression');
    const args = [
      '--loss',
      'l1',
      '--loss-output',
      'gates',
      '--also-output',
      'scores',
      '--optimizer',
      'sgd',
      '--lr',
      '0.5',
    ];
    const report = await json('artifacts', two, '-o', folder, ...args, '--prefix', 'small_');
    expect(report).toMatchObject({ target: 'target', lossOutput: 'gates', optimizer: 'sgd' });
    expect(readdirSync(folder).sort()).toEqual(files.map((name) => `small_${name}`));
  });
});

describe('grad', () => {
  it('writes a model that runs, with the gradients that differences show', async () => {
    const [two, output] = [temporary.path('two.onnx'), temporary.path('gradient.onnx')];
    const args = ['--wrt', 'w', '--wrt', 'x', '--loss', 'mse', '--loss-output', 'gates'];
    const report = await json('grad', two, ...args, '-o', output);
    expect(report).toMatchObject({ model: two, output, inputs: ['x', 'target'], lossOutput: 'gates' });
    expect(report.gradients).toEqual([
      { of: 'w', name: 'w_grad', shape: [4, 3] },
      { of: 'x', name: 'x_grad', shape: [2, 4] },
    ]);
    const session = await InferenceSession.create(output);
    const values = (count: number, step: number) =>
      Float32Array.from({ length: count }, (_, index) => Math.sin(index * step));
    const [x, target] = [values(12, 1), values(9, 2)];
    const run = async () => {
      return await session.run({ x: new Tensor('float32', x, [3, 4]), target: new Tensor('float32', target, [3, 3]) });
    };
    const result = await run();
    expect(result['w_grad']!.dims).toEqual([4, 3]);
    expect(result['x_grad']!.dims).toEqual([3, 4]);
    const losses: number[] = [];
    const [before, step] = [x[5]!, 2 ** -6];
    for (const moved of [before + step, before - step]) {
      x[5] = moved;
      losses.push(Number((await run())['loss']!.data[0]));
    }
    expect(Number(result['x_grad']!.data[5])).toBeCloseTo((losses[0]! - losses[1]!) / (2 * step), 4);
    await session.release();
  });

  it('differentiates batch normalization as it trains', async () => {
    const [resnet, output] = [temporary.path('resnet8.onnx'), temporary.path('resnet8-gradient.onnx')];
    await json('new', 'resnet56', '--depth', '8', '-o', resnet);
    const report = await json('grad', resnet, '--wrt', '*weight', '-o', output);
    expect(report.gradients).toHaveLength(8);
    const session = await InferenceSession.create(output);
    expect(session.outputNames).toEqual([report.loss, ...report.gradients.map(({ name }: { name: string }) => name)]);
    await session.release();
  });

  it('refuses what is not there', async () => {
    const output = temporary.path('not.onnx');
    const missing = await secateur(['grad', lenet(), '--wrt', 'conv1.wieght', '-o', output]);
    expect(missing).toMatchObject({ code: 1, stdout: '' });
    expect(missing.stderr).toMatch(/got "conv1.wieght"; did you mean "conv1.weight"/);
    const none = await secateur(['grad', lenet(), '-o', output]);
    expect(none).toMatchObject({ code: 2, stdout: '' });
    expect(none.stderr).toMatch(/Expected --wrt GLOB, what to differentiate with respect to/);
    expect(existsSync(output)).toBe(false);
  });
});
