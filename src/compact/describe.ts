// How large a model is: parameters, multiply-accumulates and bytes. Asked before and after, of the files themselves.
import { inferShapes } from '../onnx/infer/infer.js';
import { readModel } from '../onnx/load.js';
import { countMacs, densityOf, type MacTotals, totalMacs } from '../onnx/macs.js';
import { PayloadFile } from '../onnx/payload.js';
import { dataFilesOf } from '../onnx/save.js';
import { findPrunable } from '../prune/prunable.js';

export interface ModelSize {
  /** Elements of all floating-point and quantised tensors of rank 1 or more. */
  parameters: number;
  macs: MacTotals;
  /** The .onnx file and its data files. */
  bytes: number;
}

/** Reads every weight once. */
export function describe(path: string): ModelSize {
  const loaded = readModel(path);
  const payloads = new PayloadFile(loaded);
  try {
    const { model } = loaded;
    const dataBytes = [...dataFilesOf(loaded).values()].reduce((sum, bytes) => sum + bytes, 0);
    const read = payloads.read.bind(payloads);
    const macs = totalMacs(countMacs(model, inferShapes(model, read)), (weight) =>
      densityOf(weight.dataType, read(weight)),
    );
    return { parameters: findPrunable(model).parameters, macs, bytes: loaded.size + dataBytes };
  } finally {
    payloads.close();
  }
}
