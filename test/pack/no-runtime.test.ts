// Packing where onnxruntime-node is not installed: the file is written, and the report says that nobody tried it.
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { pack } from '../../src/pack/pack.js';
import { unpack } from '../../src/pack/unpack.js';
import { temporaryFolder } from '../onnx/helpers.js';
import { prunedLeNet, tensorsAt } from './support.js';

vi.mock('../../src/runtime/session.js', () => ({ hasRuntime: async () => false }));

test('is not tried', async () => {
  const folder = temporaryFolder();
  const model = await prunedLeNet(folder);
  const small = join(folder, 'small.onnx');
  const dense = join(folder, 'dense.onnx');
  expect(await pack(model, { output: small })).toMatchObject({ loadSeconds: null });
  expect(await unpack(small, { output: dense })).toMatchObject({ loadSeconds: null });
  expect(tensorsAt(dense)).toEqual(tensorsAt(model));
});
