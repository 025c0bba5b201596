// Finds the tensors that packing may touch, over the main graph and all graphs inside it, and where their bytes lie.
// Decides nothing about encodings; what it leaves alone it names with a reason.
import type { DType, NativeFileTensor, NativePruneJob } from '../native/contract.js';
import { elementType } from '../onnx/dtypes.js';
import type { ExternalRange } from '../onnx/external.js';
import { isStandard } from '../onnx/graph.js';
import type { LoadedModel } from '../onnx/load.js';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '../onnx/schema/onnx_pb.js';
import { shapeOf } from '../onnx/shape.js';
import type { ByteSource } from '../onnx/wire.js';
import { Locator } from '../prune/locator.js';
import { resolveExternals, sourcesOf } from '../prune/plan.js';
import { findPrunable, type Skipped } from '../prune/prunable.js';

/** Element types that runtimes unpack. */
export type PackType = Exclude<DType, 'bfloat16'>;

/** A tensor that may be packed. */
export interface PackTensor {
  /** The graph that it is in, and its name there. */
  graph: GraphProto;
  value: string;
  /** Unique in the model: in a subgraph a path. */
  name: string;
  tensor: TensorProto;
  /** The Constant that it comes from; undefined for an initializer. */
  node: NodeProto | undefined;
  shape: number[];
  dtype: PackType;
  elements: number;
  /** Bytes when dense. */
  bytes: number;
  /** `weight` of a layer, another trained `parameter` such as a bias, or something else that must not be rounded. */
  role: 'weight' | 'parameter' | 'other';
  native: NativeFileTensor;
}

export interface Survey {
  tensors: PackTensor[];
  skipped: Skipped[];
  sources: NativePruneJob['sources'];
  externals: ReadonlyMap<TensorProto, ExternalRange>;
}

/** Smaller tensors than this never become smaller: the operators that unpack one take as much. */
export const SMALLEST_BYTES = 256;

/** Positions are int32 when a runtime unpacks them, and a stream may have 15 elements before the first. */
const MAX_ELEMENTS = 2 ** 31 - 16;

/** Since this IR version an initializer that is an input too is only a default; before, all of them were inputs. */
const DEFAULTS_SINCE = 4n;

const bytesOfType: Readonly<Record<PackType, number>> = { float16: 2, float32: 4, float64: 8 };

/** Inputs that are trained, besides those that can be pruned. */
const parameterInputs: Readonly<Record<string, readonly number[]>> = {
  Conv: [2],
  ConvTranspose: [2],
  Gemm: [2],
  BatchNormalization: [1, 2, 3, 4],
  InstanceNormalization: [1, 2],
  GroupNormalization: [1, 2],
  LayerNormalization: [1, 2],
  PRelu: [1],
  Gather: [0],
};

/**
 * @param source the model's file, open.
 * @param taken names of values that are part of an earlier packing.
 * @throws SecateurError INVALID_MODEL, EXTERNAL_DATA, UNSUPPORTED.
 */
export function survey(loaded: LoadedModel, source: ByteSource, taken: ReadonlySet<TensorProto>): Survey {
  const found = findPrunable(loaded.model);
  const externals = resolveExternals(loaded, found.names);
  const sources = sourcesOf(loaded, externals);
  const locator = new Locator(loaded, externals, sources, source);
  const weights = new Set(found.prunable.map(({ tensor }) => tensor));
  const tensors: PackTensor[] = [];
  const skipped: Skipped[] = [];
  const names = new Set<string>();
  const replaceable = loaded.model.irVersion >= DEFAULTS_SINCE;
  for (const holder of holdersOf(loaded.model.graph, '', replaceable)) {
    if (taken.has(holder.tensor)) continue;
    const name = unique(holder.name, names);
    const candidate = judge({ ...holder, name });
    if (typeof candidate === 'string') skipped.push({ name, reason: candidate });
    if (candidate === undefined || typeof candidate === 'string') continue;
    const prunable = { ...candidate, op: '', weights: candidate.elements };
    const native = locator.one(prunable);
    if (typeof native === 'string') skipped.push({ name, reason: native });
    else tensors.push({ ...candidate, role: weights.has(candidate.tensor) ? 'weight' : candidate.role, native });
  }
  return { tensors, skipped, sources, externals };
}

/** A dense tensor in a graph. */
interface Holder {
  graph: GraphProto;
  value: string;
  name: string;
  tensor: TensorProto;
  node: NodeProto | undefined;
  /** What a caller may replace. */
  inputs: ReadonlySet<string>;
  parameters: ReadonlySet<string>;
}

/** Graphs in the order that everybody who counts them goes by: the main graph, then those inside it, depth first. */
export function* graphsOf(graph: GraphProto | undefined): Generator<GraphProto> {
  if (graph === undefined) return;
  yield graph;
  for (const { g, graphs } of graph.node.flatMap(({ attribute }) => attribute)) {
    yield* graphsOf(g);
    for (const inner of graphs) yield* graphsOf(inner);
  }
}

function* holdersOf(graph: GraphProto | undefined, path: string, replaceable: boolean): Generator<Holder> {
  if (graph === undefined) return;
  const inputs = inputsOf(graph, replaceable);
  const parameters = parametersOf(graph);
  const shared = { graph, inputs, parameters };
  for (const tensor of graph.initializer) {
    yield { ...shared, value: tensor.name, name: path + tensor.name, tensor, node: undefined };
  }
  for (const node of graph.node) {
    const tensor = isStandard(node) && node.opType === 'Constant' ? constantTensor(node) : undefined;
    const value = node.output[0] ?? '';
    if (tensor !== undefined) yield { ...shared, value, name: path + value, tensor, node };
    for (const { name, g, graphs } of node.attribute) {
      const inner = `${path}${node.name || node.opType}/${name}/`;
      yield* holdersOf(g, inner, replaceable);
      for (const each of graphs) yield* holdersOf(each, inner, replaceable);
    }
  }
}

function inputsOf({ input }: GraphProto, replaceable: boolean): Set<string> {
  return new Set(replaceable ? input.map(({ name }) => name) : []);
}

function constantTensor(node: NodeProto): TensorProto | undefined {
  return node.attribute.find(({ name, refAttrName }) => name === 'value' && refAttrName === '')?.t;
}

function parametersOf(graph: GraphProto): Set<string> {
  const names = graph.node.filter(isStandard).flatMap(({ opType, input }) => {
    return (parameterInputs[opType] ?? []).map((index) => input[index] ?? '');
  });
  return new Set(names);
}

/** What may be packed, the reason why not, or undefined for what nobody would pack. */
function judge(holder: Holder): Omit<PackTensor, 'native'> | string | undefined {
  const { inputs, parameters, ...rest } = holder;
  const { tensor, value, name } = rest;
  const { name: dtype, quantised, bits } = elementType(tensor.dataType);
  const { dims: shape, elements } = shapeOf(tensor, name);
  if ((elements * bits) / 8 < SMALLEST_BYTES) return undefined;
  if (quantised) return `quantised to ${dtype}`;
  if (dtype === 'bfloat16') return 'bfloat16, which no runtime unpacks on a CPU';
  if (!isPackType(dtype)) return undefined;
  if (inputs.has(value)) return 'also an input of its graph, which a caller may replace';
  if (tensor.segment !== undefined) return 'stored in segments';
  if (elements > MAX_ELEMENTS) return `has ${elements} elements, more than the ${MAX_ELEMENTS} that 32 bits count`;
  const role = parameters.has(value) && (shape.length > 1 || !isTable(holder)) ? 'parameter' : 'other';
  return { ...rest, shape, dtype, elements, bytes: elements * bytesOfType[dtype], role };
}

/** Vectors that are gathered from are tables of the program, not embeddings. */
function isTable({ graph, value }: Holder): boolean {
  return graph.node.some(({ opType, input }) => opType === 'Gather' && input[0] === value);
}

function isPackType(name: string): name is PackType {
  return Object.hasOwn(bytesOfType, name);
}

function unique(name: string, names: Set<string>): string {
  let free = name;
  for (let count = 2; names.has(free); count++) free = `${name}#${count}`;
  names.add(free);
  return free;
}

/**
 * Takes tensors out of their graphs, so that something else can make their values. In a model of an old IR version all
 * initializers are inputs too, and constant; what makes values now is none, so it becomes one of a version without that.
 */
export function takeOut(model: ModelProto, tensors: Iterable<PackTensor>): void {
  const gone = new Set<TensorProto | NodeProto>();
  const graphs = new Set<GraphProto>();
  for (const { graph, tensor, node } of tensors) {
    gone.add(node ?? tensor);
    graphs.add(graph);
  }
  if (gone.size > 0 && model.irVersion < DEFAULTS_SINCE) {
    for (const graph of graphsOf(model.graph)) takeInputsOut(graph);
    model.irVersion = DEFAULTS_SINCE;
  }
  for (const graph of graphs) {
    graph.initializer = graph.initializer.filter((tensor) => !gone.has(tensor));
    graph.node = graph.node.filter((node) => !gone.has(node));
  }
}

function takeInputsOut(graph: GraphProto): void {
  const constants = new Set(graph.initializer.map(({ name }) => name));
  graph.input = graph.input.filter(({ name }) => !constants.has(name));
}
