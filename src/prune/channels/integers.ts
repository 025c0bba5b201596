// Small constant integers of a graph: axes, pads, sizes. Payloads of up to 1 KiB are in memory after loading.
import { intsAttribute } from '../../onnx/attributes.js';
import type { Definition } from '../../onnx/graph.js';
import { TensorProto_DataType as DataType, type TensorProto } from '../../onnx/schema/onnx_pb.js';

/** The elements of a constant int32 or int64 tensor; undefined for anything else. */
export function integersIn(definition: Definition | undefined): number[] | undefined {
  if (definition?.kind === 'tensor') return elementsOf(definition.tensor);
  if (definition?.kind !== 'computed' || definition.node.opType !== 'Constant') return undefined;
  const one = definition.node.attribute.find(({ name }) => name === 'value_int');
  return one === undefined ? intsAttribute(definition.node, 'value_ints') : [Number(one.i)];
}

function elementsOf({ dataType, rawData, int32Data, int64Data, dims }: TensorProto): number[] | undefined {
  const count = dims.reduce((product, dim) => product * Number(dim), 1);
  const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.byteLength);
  let elements: number[] = [];
  if (dataType === DataType.INT64) {
    elements = int64Data.map(Number);
    for (let at = 0; at + 8 <= rawData.length; at += 8) elements.push(Number(view.getBigInt64(at, true)));
  } else if (dataType === DataType.INT32) {
    elements = [...int32Data];
    for (let at = 0; at + 4 <= rawData.length; at += 4) elements.push(view.getInt32(at, true));
  }
  return elements.length === count && count > 0 ? elements : undefined;
}
