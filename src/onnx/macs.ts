// Multiply-accumulates of a model's main graph, per image: a dimension that names the batch counts as one. Only
// Conv, ConvTranspose, Gemm and MatMul are counted; they are nearly all of it.
import { intAttribute } from './attributes.js';
import { decodeElements } from './elements.js';
import { isStandard, lookUp, type Scope, scopesOf, traceBack } from './graph.js';
import type { Inferred } from './infer/infer.js';
import type { Dim, Shape } from './infer/shape.js';
import type { ModelProto, NodeProto, TensorProto } from './schema/onnx_pb.js';

/** The multiply-accumulates of one node. */
export interface NodeMacs {
  op: string;
  dense: number;
  /** The constant weight, with which `dense / elements` products are made for each element. Undefined: computed. */
  weight: TensorProto | undefined;
}

export interface MacCount {
  nodes: NodeMacs[];
  /** Why some nodes could not be counted: a sentence for each. */
  unknown: string[];
}

/** Products of one node. */
type Formula = (shape: (input: number) => Shape, out: Shape, node: NodeProto) => Shape;

const formulas: Readonly<Record<string, Formula>> = {
  // Each output is a sum over the weights of its channel.
  Conv: (shape, out) => [...out, ...shape(1).slice(1)],
  // Each input is multiplied with the weights of its channel.
  ConvTranspose: (shape) => [...shape(0), ...shape(1).slice(1)],
  // Each output is a sum over a row of A.
  Gemm: (shape, out, node) => [...out, shape(0)[intAttribute(node, 'transA', 0) === 1 ? 0 : 1] ?? 1],
  MatMul: (shape, out) => [...out, ...shape(0).slice(-1)],
};

/** Counts a model's multiply-accumulates from its inferred shapes. */
export function countMacs(model: ModelProto, inferred: Inferred): MacCount {
  const [scope] = scopesOf(model);
  const count: MacCount = { nodes: [], unknown: [] };
  if (scope === undefined) return count;
  const batch = batchSymbols(model, inferred);
  for (const [index, node] of scope.nodes.entries()) {
    const formula = isStandard(node) ? formulas[node.opType] : undefined;
    if (formula === undefined) continue;
    const dims = dimsOf(node, formula, inferred)?.map((dim) => (batch.has(dim) ? 1 : dim));
    const open = dims?.find((dim) => typeof dim === 'string');
    const label = node.name === '' ? `${node.opType.toLowerCase()}_${index}` : node.name;
    if (dims === undefined || open !== undefined) {
      count.unknown.push(`${label}: ${reasonOf(open)}`);
      continue;
    }
    const dense = dims.reduce<number>((product, dim) => product * Number(dim), 1);
    count.nodes.push({ op: node.opType, dense, weight: weightOf(node, scope) });
  }
  return count;
}

function reasonOf(open: Dim | undefined): string {
  if (open === undefined) return 'its shape is not known without running the model';
  return String(open).startsWith('?') ? 'a dimension is known only at run time' : `the dimension ${open} is dynamic`;
}

function dimsOf(node: NodeProto, formula: Formula, { shapes }: Inferred): Shape | undefined {
  const inputs = node.input.slice(0, 2).map((name) => shapes.get(name));
  const out = shapes.get(node.output[0] ?? '');
  if (out === undefined || inputs.some((shape) => shape === undefined)) return undefined;
  return formula((input) => inputs[input] ?? [], out, node);
}

/** Symbols in the first place of the graph's inputs. */
function batchSymbols(model: ModelProto, { shapes }: Inferred): Set<Dim> {
  const first = (model.graph?.input ?? []).flatMap(({ name }) => shapes.get(name)?.[0] ?? []);
  return new Set(first.filter((dim) => typeof dim === 'string'));
}

function weightOf(node: NodeProto, scope: Scope): TensorProto | undefined {
  for (const name of [node.input[1], node.input[0]]) {
    const definition = lookUp(scope, name ?? '');
    const source = definition && traceBack(definition);
    if (source?.kind === 'tensor') return source.tensor;
  }
  return undefined;
}

/** Dense and effective: products with weights that are not zero. Null where something could not be counted. */
export interface MacTotals {
  dense: number | null;
  effective: number | null;
  /** Why they are null; empty otherwise. */
  unknown: string[];
}

/**
 * Sums up a count.
 *
 * @param density the fraction of a weight's elements that are not zero, in [0, 1].
 */
export function totalMacs({ nodes, unknown }: MacCount, density: (weight: TensorProto) => number): MacTotals {
  if (unknown.length > 0) return { dense: null, effective: null, unknown };
  const dense = nodes.reduce((sum, node) => sum + node.dense, 0);
  const effective = nodes.reduce(
    (sum, node) => sum + node.dense * (node.weight === undefined ? 1 : density(node.weight)),
    0,
  );
  return { dense, effective: Math.round(effective), unknown };
}

/** The fraction of elements that are not zero; 1 where they are no numbers or none. */
export function densityOf(dataType: number, bytes: Uint8Array): number {
  const elements = decodeElements(dataType, bytes);
  if (elements === undefined || elements.length === 0) return 1;
  let nonzero = 0;
  for (let at = 0; at < elements.length; at++) if (elements[at] !== 0) nonzero += 1;
  return nonzero / elements.length;
}
