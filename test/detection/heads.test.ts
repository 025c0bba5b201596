// Heads are found by the metadata of our own models and by the shapes of others.
import { describe, expect, it } from 'vitest';
import { newModel } from '../../models/index.js';
import { yolov4Heads, yolov4TinyHeads } from '../../models/yolov4/heads.js';
import { classNamesOf, detectionNetwork, headsOf } from '../../src/detection/heads.js';
import type { ModelProto } from '../../src/onnx/schema/onnx_pb.js';

function tiny(): ModelProto {
  return newModel('yolov4', { tiny: true, size: 64, classes: 3 }, () => undefined);
}

/** As someone else's exporter would name and order its outputs. */
function foreign(): ModelProto {
  const model = tiny();
  model.metadataProps = [];
  model.graph?.output.reverse();
  for (const output of model.graph?.output ?? []) {
    for (const node of model.graph?.node ?? []) {
      node.output = node.output.map((name) => (name === output.name ? `raw.${name}` : name));
    }
    output.name = `raw.${output.name}`;
  }
  return model;
}

describe('headsOf', () => {
  it('reads the metadata', () => {
    expect(headsOf(tiny())).toEqual(yolov4TinyHeads);
  });

  it('tells heads of others by their strides', () => {
    expect(headsOf(foreign()).map(({ output, stride, anchors }) => ({ output, stride, anchors }))).toEqual([
      { output: 'raw.stride16', stride: 16, anchors: yolov4TinyHeads[0].anchors },
      { output: 'raw.stride32', stride: 32, anchors: yolov4TinyHeads[1].anchors },
    ]);
  });

  it('refuses outputs that are no heads', () => {
    const model = foreign();
    model.graph?.output.pop();
    expect(() => headsOf(model)).toThrow(/Expected raw heads of YOLOv4 or YOLOv4-tiny.*raw.stride32 \[\?,24,2,2\]/);
  });

  it('refuses damaged metadata', () => {
    const model = tiny();
    const heads = model.metadataProps.find(({ key }) => key === 'heads');
    if (heads) heads.value = '[{"output":"stride16","stride":16}]';
    expect(() => headsOf(model)).toThrow(/metadata "heads" to list output, stride, anchors and scaleXY/);
    if (heads) heads.value = '[{';
    expect(() => headsOf(model)).toThrow(/Expected JSON in the metadata "heads"/);
  });
});

describe('detectionNetwork', () => {
  it('says input, size and classes', () => {
    expect(detectionNetwork(tiny())).toMatchObject({ input: 'input', size: 64, classes: 3 });
    expect(detectionNetwork(newModel('yolov4', { size: 96 }, () => undefined))).toEqual({
      input: 'input',
      size: 96,
      classes: 80,
      heads: yolov4Heads,
    });
  });

  it('refuses channels that are no whole number of classes', () => {
    const model = tiny();
    const type = model.graph?.output[0]?.type?.value;
    const dim = type?.case === 'tensorType' ? type.value.shape?.dim[1] : undefined;
    if (dim) dim.value = { case: 'dimValue', value: 25n };
    expect(() => detectionNetwork(model)).toThrow(/the same classes in all heads/);
  });
});

describe('classNamesOf', () => {
  it('is undefined without metadata', () => {
    const model = tiny();
    expect(classNamesOf(model)).toBeUndefined();
    model.metadataProps.push({ $typeName: 'onnx.StringStringEntryProto', key: 'names', value: '["cat","dog","cow"]' });
    expect(classNamesOf(model)).toEqual(['cat', 'dog', 'cow']);
  });
});
