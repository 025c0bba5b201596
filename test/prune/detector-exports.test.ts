// YOLOv4 as others export it: inspect finds the convolutions, prune removes from them, and the result still runs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { inspect } from '../../src/prune/inspect.js';
import { prune } from '../../src/prune/prune.js';
import { convolutionWeights, exported, pytorchExport, zooExport } from '../detection/exports.js';
import { saved, temporaryFolder } from '../onnx/helpers.js';
import { prunedReference, weightsOf } from './reference.js';

async function run(path: string): Promise<Record<string, number[]>> {
  const session = await InferenceSession.create(readFileSync(path));
  const [input] = session.inputMetadata;
  if (!input?.isTensor) throw new Error('Expected a tensor');
  const dims = input.shape.map((dim) => (typeof dim === 'number' ? dim : 1));
  const pixels = new Float32Array(3 * exported.size ** 2).map((_, index) => (index % 17) / 17);
  const outputs = await session.run({ [input.name]: new Tensor('float32', pixels, dims) });
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, [...(data as Float32Array)]]));
}

it.each([
  ['pytorch-YOLOv4', pytorchExport({ folded: false })],
  ['pytorch-YOLOv4, folded', pytorchExport({ folded: true })],
  ['the model zoo', zooExport()],
])('%s', async (_, model) => {
  const path = saved(model);
  const { prunable } = await inspect(path);
  expect(prunable.map(({ op }) => op)).toEqual(new Array(8).fill('Conv'));
  expect(prunable.reduce((sum, { weights }) => sum + weights, 0)).toBe(convolutionWeights);

  const output = join(temporaryFolder(), 'pruned.onnx');
  const { removed } = await prune(path, { output, ratio: 0.3 });
  expect(removed).toBe(Math.round(0.3 * convolutionWeights));
  expect(weightsOf(output)).toEqual(prunedReference(weightsOf(path), 0.3));
  const [before, after] = [await run(path), await run(output)];
  for (const [name, values] of Object.entries(before)) {
    expect(after[name]).toHaveLength(values.length);
    expect(after[name]?.every(Number.isFinite)).toBe(true);
    expect(after[name]).not.toEqual(values);
  }
});
