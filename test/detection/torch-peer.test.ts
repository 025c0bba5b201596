// The peer of `bench train` in PyTorch: its loss over raw heads, and the gradient of it, are those of our graph; its
// networks have our numbers of weights. Skipped where no python3 has torch.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { newModel } from '../../models/index.js';
import { randomBatch } from '../../src/cli/bench/detector.js';
import { pythonWith } from '../../src/cli/bench/peers.js';
import { noise } from '../autodiff/support.js';
import { lossModel, network, tensorsOf } from './support.js';

const peers = fileURLToPath(new URL('../../bench/peers', import.meta.url));

const python3 = await pythonWith('torch', new AbortController().signal);

function python(script: string, input = ''): string {
  return execFileSync(python3 ?? '', ['-B', '-c', script], { cwd: peers, input, encoding: 'utf8', stdio: 'pipe' });
}

it.skipIf(python3 === undefined)('computes the same loss and gradients', { timeout: 300_000 }, async () => {
  const batch = 3;
  const { feeds, work } = randomBatch(network, batch);
  const raw = network.heads.map(({ anchors, stride }, index) => {
    const dims = [batch, anchors.length * 8, network.size / stride, network.size / stride];
    return {
      dims,
      data: noise(
        dims.reduce((size, length) => size * length, 1),
        index + 1,
      ),
    };
  });
  const { input: _, ...targets } = feeds;
  const heads = Object.fromEntries(network.heads.map(({ output }, index) => [`${output}.raw`, raw[index]!]));
  const ours = tensorsOf({ ...heads, ...targets });
  const { loss, session } = await lossModel({}, ours);
  const result = await session.run(ours);
  const theirs = JSON.parse(
    python(
      `
import json, sys, torch, torch_yolo
job = json.load(sys.stdin)
raw = [torch.tensor(one["data"]).view(one["dims"]).requires_grad_() for one in job["raw"]]
loss = torch_yolo.Loss(job["work"], ${batch})(raw)
loss.backward()
print(json.dumps({"loss": loss.item(), "gradients": [one.grad.flatten().tolist() for one in raw]}))`,
      JSON.stringify({ work, raw: raw.map(({ dims, data }) => ({ dims, data: [...data] })) }),
    ),
  );
  expect(theirs.loss).toBeCloseTo(Number(result[loss]!.data[0]), 3);
  for (const [index, { output }] of network.heads.entries()) {
    const own = result[`${output}.raw_grad`]!.data as Float32Array;
    expect(own.some((value) => value !== 0)).toBe(true);
    const largest = Math.max(...own.map((value, at) => Math.abs(value - theirs.gradients[index][at])));
    expect(largest).toBeLessThan(1e-4);
  }
});

it.skipIf(python3 === undefined)('has the same networks', { timeout: 300_000 }, () => {
  const counts = JSON.parse(
    python(`
import json, torch_yolo
count = lambda network: sum(each.numel() for each in network.parameters())
print(json.dumps([count(torch_yolo.Yolov4Tiny(21)), count(torch_yolo.Yolov4(21))]))`),
  );
  const own = [true, false].map((tiny) => {
    const { graph } = newModel('yolov4', { tiny, size: 64, classes: 2 }, () => undefined);
    const learned = graph!.initializer.filter(({ name }) => !/\.(mean|variance)$/.test(name));
    return learned.reduce((sum, { dims }) => sum + Number(dims.reduce((size, length) => size * length, 1n)), 0);
  });
  expect(counts).toEqual(own);
});
