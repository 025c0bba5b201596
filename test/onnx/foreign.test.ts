// ONNX files that no one here wrote: Debian's libonnx-testdata, where it is installed.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { readModel } from '../../src/onnx/load.js';
import { materialize } from '../../src/onnx/payload.js';
import { ModelProtoSchema, type TensorProto } from '../../src/onnx/schema/onnx_pb.js';
import { tensorsOf } from '../../src/onnx/tensors.js';
import { inspect } from '../../src/prune/inspect.js';

const root = '/usr/share/libonnx-testdata/data';
const installed = existsSync(root);
const title = installed ? 'libonnx-testdata' : 'libonnx-testdata is not installed: apt-get install libonnx-testdata';
const files = installed
  ? readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.onnx'))
  : [];

test.skipIf(!installed)(`${title}: all files load as a full decode has them`, () => {
  expect(files.length).toBeGreaterThan(1000);
  for (const file of files) {
    const loaded = readModel(join(root, file));
    const full = fromBinary(ModelProtoSchema, readFileSync(join(root, file)));
    const tensors = [...tensorsOf(loaded.model)];
    expect(tensors.every((tensor) => loaded.recordOf(tensor) !== undefined)).toBe(true);
    // Only payloads may be missing from the graph; those tensors are filled from the file before the comparison.
    const elided = tensors.filter((tensor) => hasElided(loaded.recordOf(tensor)?.payloads));
    const fulls = [...tensorsOf(full)].filter((_, index) => elided.includes(tensors[index] as TensorProto));
    materialize(loaded, elided);
    materialize({ ...loaded, recordOf: () => undefined }, fulls);
    const same = Buffer.compare(toBinary(ModelProtoSchema, loaded.model), toBinary(ModelProtoSchema, full)) === 0;
    expect(same, file).toBe(true);
  }
});

function hasElided(payloads: ReadonlyMap<string, { elided: boolean }> | undefined): boolean {
  return [...(payloads?.values() ?? [])].some(({ elided }) => elided);
}

test.skipIf(!installed)(`${title}: all files can be inspected`, async () => {
  let prunable = 0;
  for (const file of files) {
    const report = await inspect(join(root, file));
    expect(report.opset === null || report.opset > 0).toBe(true);
    prunable += report.prunable.length;
  }
  expect(prunable).toBeGreaterThan(20);
});
