// Gradients of operators that read some elements of a tensor. They get the tensor's shape as a value, made by a Shape
// node in every graph of the official tool; that node's input is the tensor.

import type { Value } from '../../../onnx/build/graph-builder.js';
import { tensor } from '../../../onnx/build/tensors.js';
import { byRule, type Lowering, type LoweringContext, type LoweringFamily, unsupported } from './lowering.js';

interface Arguments {
  readonly shape: number;
  readonly dY: number;
  /** The forward operator's inputs after the tensor. */
  readonly rest: readonly number[];
}

const scatter = (opType: string, { shape, dY, rest }: Arguments): Lowering => ({
  standIn: (c) => [c.emit('ConstantOfShape', [c.input(shape)], { value: tensor('', [1], new Float32Array(1)) })],
  lower: (c) => {
    // Those left out keep their places.
    const inputs = [tensorOf(c, c.input(shape)), ...rest.map((index) => c.input(index))];
    return byRule(c, { opType, inputs, outputs: [c.input(dY)], dY: c.input(dY), wanted: [0] });
  },
});

function tensorOf(c: LoweringContext, shape: Value): Value {
  const node = c.producer(shape);
  const value = node?.input[0];
  if (node?.opType === 'Shape' && value !== undefined && c.shapes.has(value)) return value;
  throw unsupported(c, `its input ${shape} is not the shape of a tensor in the graph`);
}

export const indexing: LoweringFamily = {
  GatherGrad: scatter('Gather', { shape: 0, dY: 2, rest: [1] }),
  GatherElementsGrad: scatter('GatherElements', { shape: 1, dY: 0, rest: [2] }),
  GatherNDGrad: scatter('GatherND', { shape: 0, dY: 2, rest: [1] }),
  SliceGrad: scatter('Slice', { shape: 1, dY: 0, rest: [2, 3, 4, 5] }),
};
