// Running statistics of batch normalization: parameters that no gradient changes, but each step of training does.
import type { Value } from '../../onnx/build/graph-builder.js';
import { valueInfo } from '../../onnx/build/tensors.js';
import type { ModelProto, NodeProto } from '../../onnx/schema/onnx_pb.js';
import { ACCUMULATOR, parameterOfBuffer } from './names.js';

/** Inputs and outputs of BatchNormInternal that are the statistics before and after. */
const places = [
  [3, 1],
  [4, 2],
] as const;

/**
 * Makes outputs of the next values of all running statistics, in place. The official tool's graphs have BatchNormInternal,
 * which writes over its inputs; ours overwrite them by an accumulator that always begins anew.
 *
 * @returns the names of the next values, by statistic.
 */
export function exposeStatistics({ graph }: ModelProto): Map<Value, Value> {
  const next = new Map<Value, Value>();
  for (const node of graph?.node ?? []) {
    if (node.opType === 'BatchNormInternal')
      for (const [statistic, value] of namedAfter(node)) next.set(statistic, value);
    const [statistic = '', value = ''] = node.opType === ACCUMULATOR ? node.input : [];
    if (statistic !== '' && parameterOfBuffer(statistic) === undefined) next.set(statistic, value);
  }
  for (const value of next.values()) graph?.output.push(valueInfo(value, 'float32', ['C']));
  return next;
}

/** Statistics before and after the node, which get names where they have none. */
function namedAfter(node: NodeProto): [Value, Value][] {
  return places.map(([before, after]) => {
    const statistic = node.input[before] ?? '';
    while (node.output.length <= after) node.output.push('');
    const value = node.output[after] || `${statistic}.next`;
    node.output[after] = value;
    return [statistic, value];
  });
}
