// Gradients over several batches: the graph adds to gradients that are fed to it, instead of the caller.

import { SecateurError } from '../errors.js';
import { GraphBuilder, type Value } from '../onnx/build/graph-builder.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';

export interface Accumulation {
  /** bool [1]: true overwrites the gradients so far, false adds to them. */
  readonly reset: Value;
  /** Inputs with the gradients so far, in the order of the gradients. */
  readonly buffers: readonly Value[];
  /** The outputs that replace the gradients, in order. */
  readonly sums: readonly Value[];
}

/** Makes a training graph add up gradients, in place. The inputs are named as in ONNX Runtime's artifacts. */
export function accumulateGradients({ graph }: ModelProto, gradients: readonly Value[]): Accumulation {
  if (graph === undefined) throw new SecateurError('INTERNAL', 'Expected a graph');
  const builder = GraphBuilder.extend(graph);
  const reset = builder.input('lazy_reset_grad', 'bool', [1]);
  const buffers: Value[] = [];
  const sums = gradients.map((gradient) => {
    const output = graph.output.find(({ name }) => name === gradient);
    const buffer = `${gradient}.accumulation.buffer`;
    const sum = builder.op(
      'Where',
      [reset, gradient, builder.op('Add', [buffer, gradient])],
      {},
      { name: `${gradient}.accumulation` },
    );
    if (output !== undefined) {
      graph.input.push({ ...output, name: buffer });
      output.name = sum;
    }
    buffers.push(buffer);
    return sum;
  });
  return { reset, buffers, sums };
}
