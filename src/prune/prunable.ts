// Decides which tensors of a model are prunable, and says of every other candidate why it is not: no weight is lost
// silently. Looks at the graph only; where the bytes lie is locate.ts's business.

import type { DType } from '../native/contract.js';
import { elementType } from '../onnx/dtypes.js';
import { type Definition, isPassThrough, isStandard, lookUp, type Scope, scopesOf, traceBack } from '../onnx/graph.js';
import type { ModelProto, NodeProto, TensorProto } from '../onnx/schema/onnx_pb.js';
import { shapeOf } from '../onnx/shape.js';
import { tensorsOf } from '../onnx/tensors.js';
import { compilePatterns, type Pattern } from './patterns.js';
import { weightInputs } from './weight-uses.js';

/** A tensor that is not pruned, and why. */
export interface Skipped {
  name: string;
  reason: string;
}

/** A tensor to prune. */
export interface Prunable {
  /** Unique in the model. In a subgraph a path, such as `if_1/then_branch/W`. */
  name: string;
  shape: number[];
  dtype: DType;
  /** The operator that it is the weight of. */
  op: string;
  weights: number;
  tensor: TensorProto;
}

/** A dense tensor that the graph can reach. */
interface Candidate {
  name: string;
  tensor: TensorProto;
  origin: 'initializer' | 'node';
  shape: number[];
  elements: number;
  uses: Use[];
}

interface Use {
  op: string;
  /** It is the weight of a Conv, ConvTranspose, Gemm or MatMul. */
  weight: boolean;
}

/** Globs on names. */
export interface NameFilters {
  include?: readonly string[] | undefined;
  exclude?: readonly string[] | undefined;
}

export interface PrunableSet {
  /** In the order of the file: initializers, then the nodes' tensors. */
  prunable: Prunable[];
  skipped: Skipped[];
  /** All dense tensors that the graph can reach, by unique name. */
  names: Map<TensorProto, string>;
  /** Elements of all floating-point and quantised initializers of rank 1 or more, and of such matrices in Constants. */
  parameters: number;
}

const prunableTypes: ReadonlySet<string> = new Set<DType>(['float32', 'float16', 'bfloat16', 'float64']);

/** Whether weights of an element type can be pruned. */
export function isPrunableType(name: string): name is DType {
  return prunableTypes.has(name);
}

/**
 * Sorts a model's tensors into prunable and skipped.
 *
 * @throws SecateurError INVALID_MODEL for impossible shapes; UNKNOWN_TENSOR where a pattern matches no name.
 */
export function findPrunable(model: ModelProto, filters: NameFilters = {}): PrunableSet {
  const survey = new Survey(model);
  const { candidates } = survey;
  const skipped = [...survey.skipped].map(([name, reason]) => ({ name, reason }));
  const names = candidates.map(({ name }) => name);
  const include = compilePatterns('include', filters.include ?? [], names);
  const exclude = compilePatterns('exclude', filters.exclude ?? [], names);
  const prunable: Prunable[] = [];
  for (const candidate of candidates) {
    const verdict = judge(candidate, include, exclude);
    if (verdict === undefined) continue;
    if (typeof verdict === 'string') skipped.push({ name: candidate.name, reason: verdict });
    else prunable.push(verdict);
  }
  const parameters = candidates.reduce((sum, candidate) => sum + parametersOf(candidate), 0);
  return { prunable, skipped, names: new Map(candidates.map(({ tensor, name }) => [tensor, name])), parameters };
}

/** Vectors in Constant nodes are no parameters but scales, bounds and the like. */
function parametersOf({ tensor, shape, elements, origin }: Candidate): number {
  const type = elementType(tensor.dataType);
  const enough = shape.length >= (origin === 'initializer' ? 1 : 2);
  return enough && (type.quantised || isPrunableType(type.name)) ? elements : 0;
}

/** The tensor to prune, the reason why not, or undefined for a tensor that nobody would take for a weight. */
function judge(candidate: Candidate, include: Pattern[], exclude: Pattern[]): Prunable | string | undefined {
  const { name, tensor, shape, uses } = candidate;
  const { name: dtype, quantised } = elementType(tensor.dataType);
  const weightOf = uses.find(({ weight }) => weight);
  const included = include.some((pattern) => pattern.matches(name));
  const matrix = shape.length >= 2 && (quantised || isPrunableType(dtype));
  if (!matrix && weightOf === undefined && !included) return undefined;
  if (quantised) return `quantised to ${dtype}`;
  if (!isPrunableType(dtype)) return `its elements are of type ${dtype}`;
  const excluded = exclude.find((pattern) => pattern.matches(name));
  if (excluded !== undefined) return `excluded by ${JSON.stringify(excluded.text)}`;
  if (tensor.segment !== undefined) return 'stored in segments';
  if (!included && weightOf === undefined) return describeUses(uses);
  if (!included && shape.length < 2) return `has rank ${shape.length}, a weight has at least 2; add it with --include`;
  const op = (weightOf ?? uses[0])?.op ?? 'none';
  return { name, shape, dtype, op, weights: candidate.elements, tensor };
}

function describeUses(uses: readonly Use[]): string {
  const ops = [...new Set(uses.map(({ op }) => op))];
  if (ops.length === 0) return 'not used by any node';
  const more = ops.length > 3 ? ` and ${ops.length - 3} more` : '';
  return `used by ${ops.slice(0, 3).join(', ')}${more}; add it with --include`;
}

/** Collects tensors and what uses them, over all scopes. */
class Survey {
  readonly candidates: Candidate[] = [];
  /** Reasons by name: a value that several nodes use is named once. */
  readonly skipped = new Map<string, string>();
  readonly #byTensor = new Map<TensorProto, Candidate>();
  readonly #names = new Set<string>();

  constructor(model: ModelProto) {
    const scopes = scopesOf(model);
    for (const scope of scopes) for (const definition of scope.definitions.values()) this.#define(definition);
    for (const scope of scopes) this.#uses(scope);
    for (const tensor of tensorsOf(model)) if (!this.#byTensor.has(tensor)) this.#unreached(tensor);
  }

  /** Nothing that a node computes with: it is named nevertheless. */
  #unreached(tensor: TensorProto): void {
    if (tensor.dims.length < 2 || !isPrunableType(elementType(tensor.dataType).name)) return;
    const name = this.#unique(tensor.name === '' ? 'unnamed' : tensor.name);
    this.skipped.set(name, 'in an attribute, a function that is not called, or a training graph');
  }

  #define(definition: Definition): void {
    if (definition.kind === 'sparse') this.skipped.set(definition.name, 'stored as a sparse tensor');
    if (definition.kind !== 'tensor' || this.#byTensor.has(definition.tensor)) return;
    const name = this.#unique(definition.name);
    const { dims, elements } = shapeOf(definition.tensor, name);
    const { tensor, origin } = definition;
    const candidate = { name, tensor, origin, shape: dims, elements, uses: [] };
    this.#byTensor.set(tensor, candidate);
    this.candidates.push(candidate);
  }

  #uses(scope: Scope): void {
    for (const node of scope.nodes) {
      for (const [index, input] of node.input.entries()) {
        if (input !== '' && !(index === 0 && isPassThrough(node))) this.#use(scope, node, index, input);
      }
    }
    for (const output of scope.outputs) {
      const definition = lookUp(scope, output);
      const root = definition && traceBack(definition);
      if (root?.kind === 'tensor') this.#byTensor.get(root.tensor)?.uses.push({ op: 'a graph output', weight: false });
    }
  }

  #use(scope: Scope, node: NodeProto, index: number, input: string): void {
    const definition = lookUp(scope, input);
    const root = definition && traceBack(definition);
    if (root === undefined) return;
    const weight = isStandard(node) && weightInputs[node.opType]?.includes(index) === true;
    const op = isStandard(node) ? node.opType : `${node.domain}.${node.opType}`;
    if (root.kind === 'tensor') this.#byTensor.get(root.tensor)?.uses.push({ op, weight });
    if (weight && root.kind === 'computed' && root.constant) {
      this.skipped.set(root.name, `computed at run time by ${root.node.opType} from constants`);
    }
  }

  #unique(name: string): string {
    let unique = name;
    for (let count = 2; this.#names.has(unique); count++) unique = `${name}#${count}`;
    this.#names.add(unique);
    return unique;
  }
}
