// Wrong cfg and weights files: one sentence that says the file and the line or the layer.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { importDarknet } from '../../../models/darknet/index.js';
import { SecateurError } from '../../../src/errors.js';
import { conv, net, predict, route, section, writeWeights } from './files.js';

const folder = mkdtempSync(join(tmpdir(), 'secateur-darknet-'));
afterAll(() => rmSync(folder, { recursive: true }));
const [cfg, weights] = [join(folder, 'net.cfg'), join(folder, 'net.weights')];

const yolo = section('yolo', { mask: '0,1', anchors: '8,9, 10,11', classes: 1, num: 2 });
const good = [net(32), conv(4, 3, 'mish', 2), predict(12), yolo].join('\n');
/** Of `good`: 4 filters of 27 weights with four vectors, then 12 of 4 with biases. */
const parameters = [new Float32Array(16 + 108).fill(1), new Float32Array(12 + 48).fill(1)];

function failure(text: string, numbers: readonly Float32Array[] = parameters): SecateurError {
  writeFileSync(cfg, text);
  writeWeights(weights, numbers);
  return caught();
}

function caught(): SecateurError {
  try {
    importDarknet(cfg, weights);
  } catch (error) {
    if (error instanceof SecateurError) return error;
    throw error;
  }
  throw new Error('Expected a failure');
}

it('has nothing to say about the good files', () => {
  expect(() => failure(good)).toThrow('Expected a failure');
});

describe('cfg', () => {
  it.each([
    ['', /line 1: Expected one \[net\] section, and the layers after it$/],
    ['width=3', /line 1: Expected a section such as \[net\] first/],
    [conv(4, 3, 'mish'), /line 1: Expected one \[net\] section/],
    [good.replace('filters=4', 'filters'), /line 11: Expected \[section\] or key=value, got "filters"/],
    [
      good.replace('filters=4', 'filters=4.5'),
      /line 11: Expected filters to be a whole number of 1 or more, got "4\.5"/,
    ],
    [good.replace('filters=4', 'filters=x'), /line 11: Expected filters .*, got "x"/],
    [good.replace('filters=4', 'filters=0'), /line 11: Expected filters .*, got "0"/],
    [good.replace('filters=4', 'filters=4\nfilters=8'), /line 12: Expected filters once .*, but line 11 has it too/],
    [good.replace('mish', 'mesh'), /line 15: Expected activation to be one of .*, got "mesh"; did you mean "mish"\?/],
    [good.replace('width=32', ''), /line 1: Expected \[net\] to have width=/],
    [good.replace('10,11', '10'), /line 24: Expected anchors to be 2 pairs .*\(num=2\), got 3 numbers/],
    [good.replace('10,11', '10,y'), /line 26: Expected anchors to be numbers with commas between them, got "8,9,10,y"/],
    [good.replace('mask=0,1', 'mask=0,2'), /line 24: Expected mask to name anchors from 0 to 1, got 2/],
    [
      good.replace('classes=1', 'classes=2'),
      /Expected 14 channels before \[yolo\], 2 anchors \* \(5 \+ 2 classes\), got 12/,
    ],
    [[good, route(-9)].join('\n'), /Expected layer -9 of layer 3 to be one before it, got layer -6/],
    [[good, conv(4, 1, 'relu')].join('\n'), /Expected layer 2 to have an output for layer 3, got \[yolo\]/],
    [good.replace(yolo, ''), /Expected at least one \[yolo\] section/],
    [
      good.replace(yolo, [route(0, 1), section('maxpool', { stride: 2 }), route(-1, 0), yolo].join('\n')),
      /Expected \[route\] to join/,
    ],
    [good.replace(yolo, section('shortcut', { from: 0 })), /Expected \[shortcut\] to join layers of the same size/],
    [good.replace(yolo, section('route', { layers: 0, groups: 3 })), /Expected groups=3 to divide all channels/],
    [
      good.replace('width=32', 'width=1').replace('pad=1', 'pad=0'),
      /Expected an input that is large enough for \[convolutional\]/,
    ],
  ])('%#', (text, message) => {
    const error = failure(text);
    expect(error.message).toMatch(message);
    expect(error.code).toBe('INVALID_MODEL');
    expect(error.fields.path).toBe(cfg);
  });

  it('lists all that is not supported at once', () => {
    const text = good
      .replace('filters=4', 'filters=4\nfiltres=3\ndilation=2\ngroups=1\nxnor=0.0')
      .replace('[yolo]', '[region]\nbias=1\n[yolo]\nnew_coords=1');
    const error = failure(text);
    expect(error.code).toBe('UNSUPPORTED');
    expect(error.message).toMatch(
      /got section \[region\] in line 28 \(known: .*\), filtres of \[convolutional\] in line 12; did you mean "filters"\?, dilation=2 of \[convolutional\] in line 13 \(only 1\), new_coords=1 of \[yolo\] in line 31 \(only 0\)$/,
    );
  });

  it('takes comments, spaces, Windows line ends and the other names of sections', () => {
    const text = good
      .replace('[net]', '# a comment\r\n[network]  ; another')
      .replace('[convolutional]', '  [conv]')
      .replace('filters=4', '\tfilters =  4 # four')
      .replaceAll('\n', '\r\n');
    expect(() => failure(text)).toThrow('Expected a failure');
  });
});

describe('weights', () => {
  const [first = new Float32Array(), second = new Float32Array()] = parameters;

  it.each([
    [[first.subarray(0, 50)], /it ends in layer 0 \(line 9 of the cfg\): 50 of 124 numbers/],
    [[first, second.subarray(0, 59)], /it ends in layer 1 \(line 17 of the cfg\): 59 of 60 numbers/],
    [[first, second, Float32Array.of(1, 2)], /to end after the last layer, but 2 numbers are left/],
    [[first.with(12, -1), second], /Expected variances of 0 or more in layer 0 .*, got -1/],
    [[first, second.with(3, Number.NaN)], /Expected finite numbers in layer 1/],
  ])('%#', (numbers, message) => {
    const error = failure(good, numbers);
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ code: 'INVALID_MODEL', fields: { path: weights } });
  });

  it('refuses files that are no weights, and says what they are', () => {
    writeFileSync(cfg, good);
    for (const [bytes, message] of [
      [Buffer.alloc(7), /header of a Darknet weights file, got 7 bytes/],
      [Buffer.from('PK\x03\x04 and so on and on'), /header of a Darknet weights file, got version/],
      [Buffer.alloc(23), /whole float32 numbers after its header, got 23 bytes/],
    ] as const) {
      writeFileSync(weights, bytes);
      expect(caught().message).toMatch(message);
    }
    rmSync(weights);
    expect(caught().code).toBe('IO');
    rmSync(cfg);
    expect(caught()).toMatchObject({ code: 'IO', fields: { path: cfg } });
  });
});
