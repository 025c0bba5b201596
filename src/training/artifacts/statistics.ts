// Running statistics of batch normalization: parameters that no gradient changes, but each step of training does.
import type { Value } from '../../onnx/build/graph-builder.js';
import { valueInfo } from '../../onnx/build/tensors.js';
import type { ModelProto } from '../../onnx/schema/onnx_pb.js';

/** Inputs and outputs of BatchNormInternal that are the statistics before and after. */
const places = [
  [3, 1],
  [4, 2],
] as const;

/**
 * Makes outputs of the next values of all running statistics, in place.
 *
 * @returns the names of the next values, by statistic.
 */
export function exposeStatistics({ graph }: ModelProto): Map<Value, Value> {
  const next = new Map<Value, Value>();
  for (const node of graph?.node ?? []) {
    if (node.opType !== 'BatchNormInternal') continue;
    for (const [before, after] of places) {
      const statistic = node.input[before] ?? '';
      while (node.output.length <= after) node.output.push('');
      const value = node.output[after] || `${statistic}.next`;
      node.output[after] = value;
      next.set(statistic, value);
      graph?.output.push(valueInfo(value, 'float32', ['C']));
    }
  }
  return next;
}
