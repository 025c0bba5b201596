// A slow and plain pruning in TypeScript, to compare the addon's results with.
import { elementType } from '../../src/onnx/dtypes.js';
import { readModel } from '../../src/onnx/load.js';
import { readTensor } from '../../src/onnx/payload.js';
import { findPrunable, type NameFilters } from '../../src/prune/prunable.js';

/** The weights of each prunable tensor of a file, as numbers, by name. */
export function weightsOf(path: string, filters?: NameFilters): Map<string, number[]> {
  const loaded = readModel(path);
  const { prunable } = findPrunable(loaded.model, filters);
  return new Map(prunable.map(({ name, tensor }) => [name, decode(readTensor(loaded, tensor), tensor.dataType)]));
}

function decode(bytes: Uint8Array, dataType: number): number[] {
  const { buffer } = bytes.slice();
  switch (elementType(dataType).name) {
    case 'float32':
      return [...new Float32Array(buffer)];
    case 'float64':
      return [...new Float64Array(buffer)];
    case 'float16':
      return [...new Uint16Array(buffer)].map(halfToNumber);
    default:
      return [...new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits * 65_536).buffer)];
  }
}

function halfToNumber(bits: number): number {
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = Math.floor(bits / 1024) % 32;
  const fraction = bits % 1024;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** What is left: the round(ratio * N) smallest magnitudes become 0; of equal ones the last go first. */
export function prunedReference(
  weights: Map<string, number[]>,
  ratio: number,
  scope: 'global' | 'layer' = 'global',
): Map<string, number[]> {
  const groups = scope === 'global' ? [[...weights.keys()]] : [...weights.keys()].map((name) => [name]);
  const pruned = new Map([...weights].map(([name, values]) => [name, [...values]]));
  for (const names of groups) {
    const all = names.flatMap((name) => (weights.get(name) ?? []).map((value, index) => ({ name, value, index })));
    const order = all.map((weight, place) => ({ ...weight, place }));
    order.sort((a, b) => Math.abs(a.value) - Math.abs(b.value) || b.place - a.place);
    for (const { name, index } of order.slice(0, Math.round(ratio * order.length))) {
      const values = pruned.get(name);
      if (values !== undefined) values[index] = 0;
    }
  }
  return pruned;
}
