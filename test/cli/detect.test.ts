// `detect`: a detector that sees the same four things in every picture, so that every number is known beforehand.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { toBinary } from '@bufbuild/protobuf';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build/graph-builder.js';
import { modelOf } from '../../src/onnx/build/model.js';
import { ModelProtoSchema } from '../../src/onnx/schema/onnx_pb.js';
import { secateur, temporaryFolder } from './secateur.js';

const temporary = temporaryFolder();

/** One head of 2 x 2 cells with a box of 16 x 8 in the middle of each: objectness 0.9, classes 0.8 and 0.01. */
function fourBoxes(): Uint8Array {
  const graph = GraphBuilder.create('four');
  const logit = (p: number) => Math.log(p / (1 - p));
  const inputs = [
    graph.input('input', 'float32', ['N', 3, 64, 64]),
    graph.initializer('weight', [7, 3, 1, 1], new Float32Array(21)),
    graph.initializer('bias', [7], Float32Array.of(0, 0, 0, 0, logit(0.9), logit(0.8), logit(0.01))),
  ];
  graph.op('Conv', inputs, { strides: [32, 32] }, { outputs: ['stride32'] });
  graph.output('stride32', 'float32', ['N', 7, 2, 2]);
  const heads = JSON.stringify([{ output: 'stride32', stride: 32, anchors: [[16, 8]], scaleXY: 1 }]);
  const metadata = { heads, names: JSON.stringify(['traffic <light>', 'dog']) };
  return toBinary(ModelProtoSchema, modelOf(graph.graph, { opset: 17, metadata }));
}

beforeAll(async () => {
  writeFileSync(temporary.path('four.onnx'), fourBoxes());
  for (const name of ['wide.png', 'other.jpg']) {
    await sharp({ create: { width: 128, height: 64, channels: 3, background: 'grey' } }).toFile(temporary.path(name));
  }
  writeFileSync(temporary.path('text.png'), 'no picture');
});

const detect = (...args: string[]) => secateur(['detect', temporary.path('four.onnx'), ...args]);
const picture = (name: string) => temporary.path(name);

describe('detect', () => {
  it('prints boxes in pixels of the picture', async () => {
    const { code, stdout, stderr } = await detect(picture('wide.png'), '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { images } = JSON.parse(stdout);
    expect(images).toHaveLength(1);
    expect(images[0]).toMatchObject({ path: picture('wide.png'), width: 128, height: 64, output: null });
    // The picture is 64 x 32 in the network, from y = 16: a centre (16, 16) is (32, 0) in it, and half of the box is above.
    expect(images[0].detections.map(({ box }: { box: number[] }) => box.map(Math.round))).toEqual([
      [16, 0, 32, 8],
      [80, 0, 32, 8],
      [16, 56, 32, 8],
      [80, 56, 32, 8],
    ]);
    for (const { category, name, score } of images[0].detections) {
      expect([category, name]).toEqual([0, 'traffic <light>']);
      expect(score).toBeCloseTo(0.72, 5);
    }
  });

  it('draws one picture to a file, several to a folder', async () => {
    const file = picture('found.png');
    const one = await detect(picture('wide.png'), '-o', file, '--top', '2');
    expect(one.code).toBe(0);
    expect(one.stdout).toContain(`wide.png: 2 objects, drawn to ${file}.`);
    expect(one.stdout).toMatch(/traffic <light> +0\.720 +16 +0 +32 +8/);
    expect(await sharp(file).metadata()).toMatchObject({ width: 128, height: 64, format: 'png' });
    const folder = picture('found');
    expect((await detect(picture('wide.png'), picture('other.jpg'), '-o', folder, '--quiet')).stdout).toBe('');
    expect(readdirSync(folder).sort()).toEqual(['other.jpg', 'wide.png']);
  });

  it('obeys thresholds, and takes names from a file', async () => {
    const count = async (...args: string[]) => {
      const { stdout } = await detect(picture('wide.png'), '--json', ...args);
      return JSON.parse(stdout).images[0].detections.length;
    };
    expect(await count('--score', '0.73')).toBe(0);
    expect(await count('--score', '0.005')).toBe(8);
    writeFileSync(picture('two.names'), 'lamp\ndog\n');
    const { stdout } = await detect(picture('wide.png'), '--names', picture('two.names'), '--json');
    expect(JSON.parse(stdout).images[0].detections[0].name).toBe('lamp');
  });

  it('says what is wrong, and writes nothing', async () => {
    const failures: [string[], number, RegExp][] = [
      [[picture('text.png')], 1, /text\.png.* cannot be decoded/],
      [[picture('missing.png')], 1, /Could not read .*missing\.png: there is no such file/],
      [[picture('wide.png'), '-o', picture('a.bmp')], 2, /Expected output to be a file that ends in \.png, /],
      [[picture('wide.png'), '-o', picture('wide.png')], 2, /Expected -o to be another file than the pictures/],
      [[picture('wide.png'), picture('./wide.png'), '-o', picture('b')], 2, /pictures of different names/],
      [[picture('wide.png'), '--score', '1'], 2, /Expected --score to be a number in/],
      [[picture('wide.png'), '--names', picture('text.png')], 1, /to have 2 lines, one a class, got 1/],
    ];
    for (const [args, expected, message] of failures) {
      const { code, stderr, stdout } = await detect(...args);
      expect(stderr).toMatch(message);
      expect([code, stdout]).toEqual([expected, '']);
    }
    for (const name of ['a.bmp', 'b']) expect(existsSync(picture(name))).toBe(false);
    const none = picture('lenet5.onnx');
    await secateur(['new', 'lenet5', '-o', none]);
    const { code, stderr } = await secateur(['detect', none, picture('wide.png')]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/Expected one input \[N, 3, size, size\]/)]);
  });

  it('takes an existing folder for a single picture', async () => {
    mkdirSync(picture('there'));
    expect((await detect(picture('wide.png'), '-o', picture('there'))).code).toBe(0);
    expect(readdirSync(picture('there'))).toEqual(['wide.png']);
  });
});
