// Learns how many channels the runtime's blocked layout has in a block on this machine (16 with AVX-512, 8 with AVX2)
// by reordering a few numbers, and so also whether its operators are there at all.
import { blocked } from '../autodiff/opsets.js';
import { GraphBuilder } from '../onnx/build/graph-builder.js';
import { modelOf } from '../onnx/build/model.js';
import { Session } from '../runtime/session.js';

// A multiple of any block there is.
const CHANNELS = 64;

let known: Promise<number | undefined> | undefined;

/** Channels in a block; undefined where this runtime has no blocked layout. */
export function channelBlock(): Promise<number | undefined> {
  known ??= measure();
  return known;
}

async function measure(): Promise<number | undefined> {
  const graph = GraphBuilder.create('channel-block');
  const x = graph.input('x', 'float32', [1, CHANNELS, 1, 2]);
  graph.output(graph.op('ReorderInput', [x], {}, { domain: blocked }), 'float32', [1, CHANNELS, 1, 2]);
  try {
    const session = await Session.open(modelOf(graph.graph, { opset: 17, domains: { [blocked]: 1 } }));
    const numbers = Float32Array.from({ length: 2 * CHANNELS }, (_, index) => index);
    const [reordered] = Object.values(await session.run({ x: session.tensor(numbers, [1, CHANNELS, 1, 2]) }));
    await session.close();
    // The second pixel of the first channel comes after the first pixel of a whole block.
    const block = [...((reordered?.data ?? []) as Float32Array)].indexOf(1);
    return block > 1 ? block : undefined;
  } catch {
    return undefined;
  }
}
