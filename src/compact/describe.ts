// How large a model is: parameters, multiply-accumulates and bytes. Asked before and after, of the files themselves.
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isExternal } from '../onnx/external.js';
import { inferShapes } from '../onnx/infer/infer.js';
import { readModel } from '../onnx/load.js';
import { countMacs, densityOf, type MacTotals, totalMacs } from '../onnx/macs.js';
import { PayloadFile } from '../onnx/payload.js';
import type { ModelProto } from '../onnx/schema/onnx_pb.js';
import { tensorsOf } from '../onnx/tensors.js';
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
    const read = payloads.read.bind(payloads);
    const macs = totalMacs(countMacs(model, inferShapes(model, read)), (weight) =>
      densityOf(weight.dataType, read(weight)),
    );
    return { parameters: findPrunable(model).parameters, macs, bytes: loaded.size + dataBytes(path, model) };
  } finally {
    payloads.close();
  }
}

function dataBytes(path: string, model: ModelProto): number {
  const locations = new Set(
    [...tensorsOf(model)]
      .filter(isExternal)
      .flatMap(({ externalData }) => externalData.filter(({ key }) => key === 'location').map(({ value }) => value)),
  );
  return [...locations].reduce((sum, location) => sum + statSync(join(dirname(path), location)).size, 0);
}
