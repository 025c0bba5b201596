// Models of Debian's libonnx-testdata, pruned: onnxruntime loads and runs them as it did before.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { inspect } from '../../src/prune/inspect.js';
import { prune } from '../../src/prune/prune.js';
import { temporaryFolder } from '../onnx/helpers.js';
import { prunedReference, weightsOf } from './reference.js';

const root = '/usr/share/libonnx-testdata/data';
const installed = existsSync(root);
const title = installed ? 'libonnx-testdata' : 'libonnx-testdata is not installed: apt-get install libonnx-testdata';

/** The first output for inputs of 0.5, or undefined where the runtime cannot run the model as it is. */
async function run(path: string): Promise<number[] | undefined> {
  try {
    const session = await InferenceSession.create(path, { logSeverityLevel: 4 });
    const feeds: Record<string, Tensor> = {};
    for (const input of session.inputMetadata) {
      if (!input.isTensor || input.type !== 'float32') return undefined;
      const dims = input.shape.map((dim) => (typeof dim === 'number' ? dim : 1));
      const count = dims.reduce((product, dim) => product * dim, 1);
      feeds[input.name] = new Tensor('float32', new Float32Array(count).fill(0.5), dims);
    }
    const results = Object.values(await session.run(feeds));
    return results[0]?.data instanceof Float32Array ? [...results[0].data] : undefined;
  } catch {
    return undefined;
  }
}

test.skipIf(!installed)(`${title}: pruned as the reference says, and onnxruntime runs the result`, async () => {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.onnx'));
  const folder = temporaryFolder();
  let ran = 0;
  for (const [index, file] of files.entries()) {
    const path = join(root, file);
    if ((await inspect(path)).prunable.length === 0) continue;
    const output = join(folder, `${index}.onnx`);
    await prune(path, { output, ratio: 0.5 });
    expect(weightsOf(output), file).toEqual(prunedReference(weightsOf(path), 0.5));
    const before = await run(path);
    if (before?.every(Number.isFinite) !== true) continue;
    const after = await run(output);
    expect(after?.every(Number.isFinite), file).toBe(true);
    expect(after, file).toHaveLength(before.length);
    ran++;
  }
  expect(ran).toBeGreaterThan(10);
});
